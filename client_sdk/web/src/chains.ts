/**
 * Chains and payments: how a voucher came to its present owner, whole, so that it can be judged offline.
 */

import { concatBytes } from "./bytes.js";
import { ARRAY, head, readHead } from "./cbor.js";
import { DEVICE_CERTIFICATE, type DeviceCertificate } from "./certificates.js";
import { CHAIN_HOPS_MAX, CHAINS_MAX, PAYMENT_BYTES_MAX } from "./constants.js";
import { unsealAt, type Signed } from "./cose.js";
import { ProtocolError } from "./errors.js";
import { refuse } from "./fields.js";
import type { PublicKey } from "./keys.js";
import { isPayment, TRANSFER, type Transfer } from "./transfers.js";
import { VOUCHER, type Voucher } from "./vouchers.js";

/** A transfer and, where it is needed, the certificate of its signer. */
export interface Hop {
  readonly transfer: Signed<Transfer>;
  readonly certificate: Signed<DeviceCertificate> | undefined;
}

/** A voucher and the transfers that lead to the present owner. Nothing is verified by reading it. */
export class Chain {
  constructor(
    readonly voucher: Signed<Voucher>,
    readonly hops: readonly Hop[],
  ) {
    if (hops.length > CHAIN_HOPS_MAX) refuse("too many hops");
  }

  /**
   * Read a chain by itself.
   *
   * @throws ProtocolError 101, 102, 103, 111 or 112.
   */
  static decode(data: Uint8Array): Chain {
    checkSize(data);
    const [chain, end] = Chain.readAt(data, 0);
    checkEnd(data, end);
    return chain;
  }

  /** Read the chain that begins at a place; gives the place behind it, too. */
  static readAt(data: Uint8Array, at: number): [chain: Chain, end: number] {
    const [parts, voucherAt] = readHead(data, at, ARRAY);
    if (parts < 1 || parts > 1 + CHAIN_HOPS_MAX) refuse("a chain is a voucher and at most 17 hops");
    const [voucher, hopsAt] = unsealAt(VOUCHER, data, voucherAt);
    const hops: Hop[] = [];
    let end = hopsAt;
    while (hops.length < parts - 1) {
      const [hop, after] = readHop(data, end);
      hops.push(hop);
      end = after;
    }
    return [new Chain(voucher, hops), end];
  }

  encode(): Uint8Array {
    const parts = [this.voucher.envelope, ...this.hops.map(writeHop)];
    return concatBytes(head(ARRAY, parts.length), ...parts);
  }

  /** The last transfer. */
  get last(): Hop | undefined {
    return this.hops.at(-1);
  }

  /** What a next transfer would name as its parent. */
  get tip(): Signed<Transfer> | Signed<Voucher> {
    return this.last?.transfer ?? this.voucher;
  }

  /** Who has the units now. */
  get owner(): PublicKey {
    return this.last?.transfer.body.payee ?? this.voucher.body.holder;
  }

  /** First unit. */
  get lo(): number {
    return this.last?.transfer.body.lo ?? 0;
  }

  /** The unit after the last one. */
  get hi(): number {
    return this.last?.transfer.body.hi ?? this.voucher.body.value;
  }

  /** Payments in it; returns and claims are not counted. */
  get hopsUsed(): number {
    return this.hops.filter(({ transfer }) => isPayment(transfer)).length;
  }

  /** Who signed each transfer: the holder the first, then each payee the next. */
  get signers(): readonly PublicKey[] {
    const owners = [this.voucher.body.holder, ...this.hops.map((hop) => hop.transfer.body.payee)];
    return owners.slice(0, this.hops.length);
  }
}

function readHop(data: Uint8Array, at: number): [hop: Hop, end: number] {
  const [parts, transferAt] = readHead(data, at, ARRAY);
  if (parts < 1 || parts > 2) refuse("a hop is a transfer, with or without a certificate");
  const [transfer, certificateAt] = unsealAt(TRANSFER, data, transferAt);
  if (parts === 1) return [{ transfer, certificate: undefined }, certificateAt];
  const [certificate, end] = unsealAt(DEVICE_CERTIFICATE, data, certificateAt);
  return [{ transfer, certificate }, end];
}

function writeHop({ transfer, certificate }: Hop): Uint8Array {
  return certificate === undefined
    ? concatBytes(head(ARRAY, 1), transfer.envelope)
    : concatBytes(head(ARRAY, 2), transfer.envelope, certificate.envelope);
}

function checkSize(data: Uint8Array): void {
  if (data.length > PAYMENT_BYTES_MAX) throw new ProtocolError(101, "too long");
}

function checkEnd(data: Uint8Array, end: number): void {
  if (end !== data.length) throw new ProtocolError(101, "bytes after the value");
}

/** What a payer hands over: pieces of one or more vouchers. */
export class Payment {
  constructor(readonly chains: readonly Chain[]) {
    if (chains.length < 1 || chains.length > CHAINS_MAX) refuse("a payment has 1 to 8 chains");
    if (chains.some((chain) => chain.hops.length === 0)) refuse("a chain without a transfer");
  }

  /**
   * Read a payment.
   *
   * @throws ProtocolError 101, 102, 103, 111 or 112.
   */
  static decode(data: Uint8Array): Payment {
    checkSize(data);
    const [count, chainsAt] = readHead(data, 0, ARRAY);
    if (count < 1 || count > CHAINS_MAX) refuse("a payment has 1 to 8 chains");
    const chains: Chain[] = [];
    let end = chainsAt;
    while (chains.length < count) {
      const [chain, after] = Chain.readAt(data, end);
      chains.push(chain);
      end = after;
    }
    checkEnd(data, end);
    return new Payment(chains);
  }

  encode(): Uint8Array {
    const { chains } = this;
    return concatBytes(head(ARRAY, chains.length), ...chains.map((chain) => chain.encode()));
  }

  /** The last transfer of each chain. */
  get lastHops(): readonly Hop[] {
    return this.chains.map((chain) => chain.last!);
  }

  /** Sum of the pieces in minor units. Eight of them may exceed what `number` keeps exactly. */
  get amount(): bigint {
    return this.chains.reduce((sum, chain) => sum + BigInt(chain.hi - chain.lo), 0n);
  }
}
