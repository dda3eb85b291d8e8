/** Rules 301 to 308: whether to answer a payment request now. */

import { isCertificateIssued } from "./chain_rules.js";
import { DEVICE_CERTIFICATE, issuingKey, knowsCurrency, type DeviceCertificate } from "./certificates.js";
import { REQUEST_LIFE_MAX_S } from "./constants.js";
import { unseal, type Signed } from "./cose.js";
import { ProtocolError } from "./errors.js";
import type { PaymentRequest } from "./requests.js";
import { walk, type Rule, type TrustContext } from "./rules.js";

interface RequestSubject {
  readonly request: Signed<PaymentRequest>;
  readonly certificate: Signed<DeviceCertificate>;
  readonly context: TrustContext;
}

/** From 302 on; 301 is that the certificate can be read at all. */
export const REQUEST_RULES: readonly Rule<RequestSubject>[] = [
  {
    number: 302,
    holds: ({ request, certificate }) => certificate.body.deviceKey.equals(request.body.payee),
  },
  {
    number: 303,
    holds: ({ certificate, context }) => isCertificateIssued(certificate, context.keySet),
  },
  { number: 304, holds: ({ request }) => request.isSignedBy(request.body.payee) },
  {
    number: 305,
    holds: ({ certificate: { body }, context }) =>
      !context.isAhead(body.validFrom) && !context.hasPassed(body.validTo),
  },
  {
    number: 306,
    holds: ({ request: { body }, context }) =>
      !context.hasPassed(body.expiresAt) && !context.isAhead(body.expiresAt - REQUEST_LIFE_MAX_S),
  },
  {
    number: 307,
    holds: ({ request, certificate: { body }, context: { keySet, revoked } }) =>
      !revoked.has(request.body.payee.id) && !revoked.has(issuingKey(keySet, body.kid, body.validFrom)!.id),
  },
  {
    number: 308,
    holds: ({ request, context }) => knowsCurrency(context.keySet, request.body.currency),
  },
];

/**
 * Check a request, and read the certificate of who asks.
 *
 * @throws ProtocolError 301 to 308.
 */
export async function verifyRequest(
  request: Signed<PaymentRequest>,
  context: TrustContext,
): Promise<Signed<DeviceCertificate>> {
  const certificate = readCertificate(request.body.certificate);
  await walk(REQUEST_RULES, { request, certificate, context });
  return certificate;
}

function readCertificate(envelope: Uint8Array): Signed<DeviceCertificate> {
  try {
    return unseal(DEVICE_CERTIFICATE, envelope);
  } catch (error) {
    if (error instanceof ProtocolError) throw new ProtocolError(301, error.message);
    throw error;
  }
}
