/** Everything that judges, in one place. */

export { Revoked, TrustContext, type Rule } from "./rules.js";
export { TRANSFER_RULES, verifyChain, VOUCHER_RULES } from "./chain_rules.js";
export { REQUEST_RULES, verifyRequest } from "./request_rules.js";
export {
  PAYMENT_RULES,
  RECEIPT_RULES,
  RETURN_RULES,
  verifyPayment,
  verifyReceipt,
  verifyReturn,
} from "./payment_rules.js";
