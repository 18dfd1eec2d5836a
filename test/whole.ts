/**
 * The suites run whole with `WEFT_TEST_ALL=1 npm test`. Without it, so that they take minutes on two cores, what is
 * tested twice is tested once: fewer moments, weight types, seeds, and the smaller of two tests that take one path.
 */
export const isWhole = process.env['WEFT_TEST_ALL'] === '1'

/**
 * Suites of many processes that mostly wait run by a command of their own, `npm run test:long`, and in whole runs: `npm test`
 * alone takes minutes on two cores. `.ci/run` calls both.
 */
export const isLong = isWhole || process.env['WEFT_TEST_LONG'] === '1'

/** All of them in a whole run, else the first few. */
export function sampled<T>(all: readonly T[], few: number): readonly T[] {
  return isWhole ? all : all.slice(0, few)
}
