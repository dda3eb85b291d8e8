/**
 * The offline protocol of Tallystick: bytes in, facts out.
 *
 * Nothing here has a clock, a socket or randomness of its own, and nothing needs Node. `docs/protocol.md` is
 * the specification; the conformance vectors hold this and the reference in Python to the same verdicts.
 *
 * @packageDocumentation
 */

export {
  ACCEPTANCE_POLICY,
  judge,
  paymentFacts,
  verifyAcceptancePolicy,
  type AcceptancePolicy,
  type AcceptanceRule,
  type PaymentFacts,
  type Verdict,
} from "./acceptance.js";
export { ED25519, ESP256, verifyEd25519, verifyEsp256, type Algorithm } from "./algorithms.js";
export {
  bleToken,
  BleStreamReader,
  CLOSE,
  crc32,
  keyBefore,
  readFragment,
  serviceUuid,
  stepsToLock,
  StreamBroken,
  toBleStream,
  WIRE_MESSAGE_BYTES_MAX,
  writeFragment,
  type Fragment,
} from "./bluetooth.js";
export { compareBytes, equalBytes, fromHex, toHex } from "./bytes.js";
export { decode as decodeCbor, encode as encodeCbor, type Value } from "./cbor.js";
export {
  DEVICE_CERTIFICATE,
  ISSUE,
  issuerKey,
  issuingKey,
  isSettlingKey,
  KEY_BINDING,
  KEY_SET,
  SETTLE,
  verifyKeySet,
  type DeviceCertificate,
  type KeyBinding,
  type KeySet,
} from "./certificates.js";
export { Chain, Payment, type Hop } from "./chains.js";
export { objectId, seal, Signed, unseal } from "./cose.js";
export { CODES, ProtocolError, type ErrorNumber } from "./errors.js";
export { Exchange, type Outcome, type Taken } from "./exchange.js";
export type { BodyOf, Kind } from "./fields.js";
export { PartCollector } from "./collector.js";
export { Fountain, partFromText, partToText, type Part } from "./fountain.js";
export {
  decodeFrame,
  encodeFrame,
  FRAME_KINDS,
  fromText,
  readRefusal,
  StreamReader,
  toStream,
  toText,
  type Frame,
  type FrameKind,
  type Refusal,
} from "./frames.js";
export { Evidence, verifyCloneAlarm, verifyFraudProof, type Conviction, type Naming } from "./fraud.js";
export {
  readNews,
  readSpends,
  readTags,
  Spend,
  spendsOf,
  tagOf,
  TAGS_MAX,
  tagsOverlap,
  WANTS_MAX,
  writeNews,
  writeSpends,
  writeTags,
  type News,
  type Tag,
} from "./gossip.js";
export { BUDGET_MIN, ITEMS_MAX, TalkOrder } from "./gossip_talk.js";
export { Channel, Initiator, keyPair, respond, type KeyPair } from "./handshake.js";
export { PublicKey, SoftwareSigner, type Signer } from "./keys.js";
export { RECEIPT, type Receipt } from "./receipts.js";
export { PAYMENT_REQUEST, requestId, type PaymentRequest } from "./requests.js";
export { resolve, type Fork, type Leaf, type Recorded, type Resolution, type Root } from "./resolution.js";
export {
  applyRevocationDelta,
  EMPTY_LOG_HEAD,
  nextLogHead,
  NO_REVOCATIONS,
  REVOCATION_DELTA,
  REVOCATION_LIST,
  revokedDigest,
  splitEntries,
  takeRevocation,
  takeRevocationList,
  type HeldRevocations,
  type RevocationDelta,
  type RevocationList,
} from "./revocation.js";
export { greetingOf, PayeeSession, PayerSession, type Heard, type Peer } from "./session.js";
export {
  settle,
  type Credit,
  type RootSettlement,
  type SettlementPolicy,
  type Terms,
} from "./settlement.js";
export { CLAIM, isPayment, overlap, RETURN, TRANSFER, type Interval, type Transfer } from "./transfers.js";
export {
  PAYMENT_RULES,
  RECEIPT_RULES,
  REQUEST_RULES,
  RETURN_RULES,
  Revoked,
  TRANSFER_RULES,
  TrustContext,
  verifyChain,
  verifyPayment,
  verifyReceipt,
  verifyRequest,
  verifyReturn,
  VOUCHER_RULES,
} from "./verification.js";
export { VOUCHER, type Voucher } from "./vouchers.js";
