/** A payment frame by frame, from the request to the answer, as any carrier brings it. */

import { equalBytes, toHex } from "./bytes.js";
import { Payment } from "./chains.js";
import { unseal, type Signed } from "./cose.js";
import { ProtocolError } from "./errors.js";
import { decodeFrame, FRAME_KINDS, readRefusal, type Refusal } from "./frames.js";
import { verifyPayment, verifyReceipt, verifyReturn } from "./payment_rules.js";
import { RECEIPT, type Receipt } from "./receipts.js";
import { verifyRequest } from "./request_rules.js";
import { PAYMENT_REQUEST, requestId, type PaymentRequest } from "./requests.js";
import type { TrustContext } from "./rules.js";

/** What has become of the payment. Open and refused ones are in doubt until a receipt or a return comes. */
export type Outcome = "open" | "paid" | "refused" | "returned";

/** What a frame of an exchange was. */
export type Taken =
  | { readonly kind: 1; readonly request: Signed<PaymentRequest> }
  | { readonly kind: 2 | 4; readonly payment: Payment }
  | { readonly kind: 3; readonly receipt: Signed<Receipt> }
  | { readonly kind: 7; readonly refusal: Refusal };

/**
 * The frames of one payer and one payee in their order, each judged as who receives it does.
 *
 * A frame that is refused changes nothing, with one exception: a payment that could be read was sent, so it may
 * come back.
 */
export class Exchange {
  #request: Signed<PaymentRequest> | undefined;
  #payment: Payment | undefined;
  #outcome: Outcome = "open";

  constructor(private readonly context: TrustContext) {}

  get outcome(): Outcome {
    return this.#outcome;
  }

  /**
   * Take the next frame.
   *
   * @throws ProtocolError with the number of what is wrong with it. Without a request a payment breaks 503 and a
   * receipt 601; without a payment a receipt breaks 602 and a return 552.
   */
  async take(frame: Uint8Array): Promise<Taken> {
    const { kind, body } = decodeFrame(frame);
    switch (kind) {
      case FRAME_KINDS.REQUEST:
        return { kind, request: await this.#takeRequest(body) };
      case FRAME_KINDS.PAYMENT:
        return { kind, payment: await this.#takePayment(body) };
      case FRAME_KINDS.RECEIPT:
        return { kind, receipt: await this.#takeReceipt(body) };
      case FRAME_KINDS.RETURN:
        return { kind, payment: await this.#takeReturn(body) };
      case FRAME_KINDS.REFUSAL:
        return { kind, refusal: this.#takeRefusal(body) };
      default:
        throw new ProtocolError(104, "no frame of a payment");
    }
  }

  async #takeRequest(body: Uint8Array): Promise<Signed<PaymentRequest>> {
    const request = unseal(PAYMENT_REQUEST, body);
    await verifyRequest(request, this.context);
    if (this.#request === undefined || !equalBytes(requestId(this.#request), requestId(request))) {
      this.#request = request;
      this.#payment = undefined;
      this.#outcome = "open";
    }
    return request;
  }

  async #takePayment(body: Uint8Array): Promise<Payment> {
    const payment = Payment.decode(body);
    if (this.#request === undefined) throw new ProtocolError(503, "nothing was asked for");
    if (this.#payment === undefined || lastIds(this.#payment) !== lastIds(payment)) {
      this.#payment = payment;
      this.#outcome = "open";
    }
    await verifyPayment(payment, this.#request, this.context);
    return payment;
  }

  async #takeReceipt(body: Uint8Array): Promise<Signed<Receipt>> {
    const receipt = unseal(RECEIPT, body);
    if (this.#request === undefined) throw new ProtocolError(601, "nothing was asked for");
    const sent = this.#payment ?? { lastHops: [], amount: 0n };
    await verifyReceipt(receipt, this.#request, sent);
    if (this.#outcome !== "returned") this.#outcome = "paid";
    return receipt;
  }

  async #takeReturn(body: Uint8Array): Promise<Payment> {
    const back = Payment.decode(body);
    const sent = this.#payment?.lastHops.map(({ transfer }) => transfer.id) ?? [];
    await verifyReturn(back, sent, this.context);
    this.#outcome = "returned";
    return back;
  }

  #takeRefusal(body: Uint8Array): Refusal {
    const refusal = readRefusal(body);
    if (this.#outcome === "open") this.#outcome = "refused";
    return refusal;
  }
}

function lastIds(payment: Payment): string {
  return payment.lastHops
    .map(({ transfer }) => toHex(transfer.id))
    .sort()
    .join();
}
