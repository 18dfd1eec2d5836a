/** What a start has begun is ended in the reverse order; what fails of it does not keep the rest. */
export async function runAll(undo: readonly (() => unknown)[]): Promise<void> {
  for (const action of [...undo].reverse()) await Promise.resolve(action()).catch(() => undefined)
}
