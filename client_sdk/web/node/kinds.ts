/** Every kind of conformance case that this implementation knows. */

import type { Judge } from "./judging.js";
import { CARRIERS } from "./kinds_of_carriers.js";
import { EXCHANGES } from "./kinds_of_exchanges.js";
import { ISSUERS } from "./kinds_of_issuers.js";
import { OBJECTS } from "./kinds_of_objects.js";
import { PAYMENTS } from "./kinds_of_payments.js";
import { TRAVEL } from "./kinds_of_travel.js";

/** By the name of the kind. */
export const KINDS: { readonly [kind: string]: Judge } = {
  ...OBJECTS,
  ...ISSUERS,
  ...PAYMENTS,
  ...TRAVEL,
  ...EXCHANGES,
  ...CARRIERS,
};
