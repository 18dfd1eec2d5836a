/** weft complete models|peers|codes: words for completion scripts, within a moment or not at all. */
import type { Command } from '../context.ts'
import { allErrorInfos } from '../error-tables.ts'
import { runningStatus } from '../peer-access.ts'

/** A shell that waits longer feels broken. */
const BUDGET_MS = 150

export const command: Command = async ({ flags, home, io, out, signal }) => {
  if (flags.required(0) === 'codes') {
    out.lines((await allErrorInfos()).map((info) => info.code))
    return
  }
  const controller = new AbortController()
  const cancel = io.clock.after(BUDGET_MS, () => controller.abort())
  try {
    const status = await runningStatus(io, home, AbortSignal.any([signal, controller.signal]))
    const models = (status?.models ?? []).map((model) => model.model)
    const peers = (status?.peers ?? []).map(({ id, name }) => (isPlainWord(name) ? name : id))
    out.lines(flags.required(0) === 'models' ? models.filter(isPlainWord) : peers)
  } catch {
    // No words are better than an error in the middle of somebody's line.
  } finally {
    cancel()
  }
}

/**
 * A word that every shell takes as it stands. Names come from other peers: one that is called `$(…)` must not come to
 * stand on somebody's command line, where the next key runs it.
 */
function isPlainWord(text: string): boolean {
  return /^[\p{L}\p{N}._@:+][\p{L}\p{N}._@:+-]*$/u.test(text)
}
