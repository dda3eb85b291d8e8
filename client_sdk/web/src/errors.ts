/**
 * The one class of error, and its numbered codes.
 *
 * Numbers and codes are those of `docs/protocol.md`. The hundreds say what a refusal is about: 1 bytes and
 * channels, 2 key sets and revocation, 3 requests, 4 vouchers and transfers, 5 payments and returns,
 * 6 receipts, 7 evidence.
 */

/** Code of every error number. */
export const CODES = {
  101: "malformed_cbor",
  102: "malformed_object",
  103: "malformed_envelope",
  104: "malformed_frame",
  111: "unsupported_algorithm",
  112: "weak_key",
  113: "bad_signature",
  121: "handshake_failed",
  122: "session_broken",
  201: "key_set_refused",
  202: "unknown_issuer_key",
  211: "revocation_refused",
  212: "revocation_does_not_apply",
  221: "policy_refused",
  301: "request_certificate_readable",
  302: "request_certificate_of_payee",
  303: "request_certificate_issued",
  304: "request_signed_by_payee",
  305: "request_certificate_current",
  306: "request_current",
  307: "request_not_revoked",
  308: "request_currency_known",
  401: "voucher_key_known",
  402: "voucher_signed",
  403: "voucher_currency_known",
  411: "transfer_hangs_together",
  412: "transfer_inside_parent",
  413: "transfer_not_after_claim",
  414: "transfer_returns_whole",
  415: "transfer_claims_at_issuer",
  416: "transfer_within_voucher_hops",
  421: "transfer_certificate_present",
  422: "transfer_certificate_of_signer",
  423: "transfer_certificate_issued",
  424: "transfer_within_certificate",
  425: "transfer_within_certificate_hops",
  426: "transfer_within_payment_limit",
  427: "transfer_in_time",
  428: "transfer_signed",
  501: "payment_pays",
  502: "payment_to_payee",
  503: "payment_names_request",
  504: "payment_in_currency",
  505: "payment_pieces_distinct",
  506: "payment_without_fork",
  507: "payment_without_clone",
  508: "payment_of_amount",
  509: "payment_within_limit",
  510: "payment_not_postdated",
  511: "payment_before_expiry",
  512: "payment_spendable",
  513: "payment_payer_current",
  514: "payment_not_revoked",
  551: "return_returns",
  552: "return_of_ours",
  601: "receipt_names_request",
  602: "receipt_names_transfers",
  603: "receipt_of_amount",
  604: "receipt_signed",
  701: "no_fork",
  702: "no_overlap",
  703: "unknown_issuer",
  704: "not_issued",
  705: "not_signed",
  706: "no_clone",
  707: "worse_than_clone",
} as const;

/** A number of the table above. */
export type ErrorNumber = keyof typeof CODES;

/** What was received, or was to be written, is not in order. */
export class ProtocolError extends Error {
  /** Stable name of the number, such as `bad_signature`. */
  readonly code: string;

  constructor(
    readonly number: ErrorNumber,
    detail?: string,
  ) {
    const code = CODES[number];
    super(detail === undefined ? code : `${code}: ${detail}`);
    this.name = "ProtocolError";
    this.code = code;
  }
}
