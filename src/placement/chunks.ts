/**
 * How many rows of a prompt travel together. While the first ones are on their way to the last stage, and the last ones in it, stages
 * have nothing to do: the fewer rows a chunk has, the shorter that is. Several kinds of chunks are no better: a stage waits for a larger
 * one behind a smaller one, so the largest counts. But each run has a cost of its own.
 */

/** Enough for the kernels: more rows in a run are no faster. */
export const MOST_ROWS = 128
/** With fewer rows what a run costs beside them counts more than what stages wait. */
const LEAST_ROWS = 32
/** Chunks of a prompt, so that stages of equal size wait for about a ninth of its time at most. */
const CHUNKS = 8
/** What is kept of a prompt has whole runs of so many rows. */
const MULTIPLE = 16

/** Of a prompt of so many rows that is to go through several stages. @param most rows of a chunk */
export function chunkRows(prompt: number, most = MOST_ROWS): number {
  const even = Math.ceil(prompt / CHUNKS / MULTIPLE) * MULTIPLE
  return Math.min(most, Math.max(LEAST_ROWS, even))
}
