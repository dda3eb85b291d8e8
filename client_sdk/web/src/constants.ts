/** Sizes and limits of the protocol. Times are seconds, sizes bytes. */

/** Version that begins every frame and every domain-separating text. */
export const VERSION = 1;

/** Largest integer: every runtime, JavaScript too, keeps it exactly. */
export const UINT_MAX = Number.MAX_SAFE_INTEGER;

/** Arrays and maps inside one another. */
export const DEPTH_MAX = 6;

/** A signed object with its envelope. */
export const OBJECT_BYTES_MAX = 4096;

/** A payment or a chain. */
export const PAYMENT_BYTES_MAX = 32_768;

/** A revocation list with its envelope. */
export const REVOCATION_LIST_BYTES_MAX = 1_048_576;

/** A revocation delta with its envelope. */
export const REVOCATION_DELTA_BYTES_MAX = 32_768;

/** Any frame. */
export const FRAME_BYTES_MAX = 2 + PAYMENT_BYTES_MAX;

/** Hops of a chain, returns and a claim among them. */
export const CHAIN_HOPS_MAX = 17;

/** Changes of owner that a voucher or a certificate may allow. */
export const HOPS_MAX = 8;

/** Chains of one payment. */
export const CHAINS_MAX = 8;

/** Seconds by which two honest clocks may differ. */
export const SLACK_S = 120;

/** Seconds for which a payment request may ask. */
export const REQUEST_LIFE_MAX_S = 7 * 24 * 60 * 60;

/** Bytes of an id that a revocation list holds. */
export const REVOKED_PREFIX_BYTES = 8;
