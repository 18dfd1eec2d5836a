/** What a member tells in the clear of how many records it has: a lower bound, no finer than its purpose asks. */

/** Leading binary digits that are told. */
const DIGITS = 3

/**
 * The aggregator and all members see it, and only need to know that all together have `minimum`: so never more than that,
 * and below it the leading digits alone (at most a fifth is left out).
 */
export function toldRecords(records: number, minimum: number): number {
  if (records >= minimum) return minimum
  const unit = 2 ** Math.max(0, Math.floor(Math.log2(Math.max(1, records))) + 1 - DIGITS)
  return Math.floor(records / unit) * unit
}
