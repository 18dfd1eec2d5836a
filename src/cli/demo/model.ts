/** Which model `npm start` shows: the one asked for, else SmolLM2 if it can be had in time, else the embedded one. */
import { errorData } from '../../errors.ts'
import { CancelledError } from '../../pipeline/index.ts'
import { formatBytes, formatMs } from '../format.ts'
import type { CliIo } from '../io.ts'
import type { PeerAccess } from '../peer-access.ts'
import type { DemoScreen } from './screen.ts'

const PREFERRED = 'smollm2:135m'
const EMBEDDED = 'weft-tiny'
/** The wait for a download that was not asked for; a cached copy takes none of it. */
const PREFERRED_WAIT_MS = 60_000

export async function chooseModel(
  io: CliIo,
  screen: DemoScreen,
  peer: PeerAccess,
  asked: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  if (asked !== undefined) return bring(io, screen, peer, asked, signal)
  const limit = new AbortController()
  const cancel = io.clock.after(PREFERRED_WAIT_MS, () =>
    limit.abort(new CancelledError(`it took longer than ${PREFERRED_WAIT_MS / 1000} s`)),
  )
  try {
    screen.note(`looking for ${PREFERRED}, at most ${PREFERRED_WAIT_MS / 1000} s; else the embedded model answers`)
    return await bring(io, screen, peer, PREFERRED, AbortSignal.any([signal, limit.signal]))
  } catch (error) {
    signal.throwIfAborted()
    const { message, why } = errorData(error)
    screen.note(`${PREFERRED} is not to be had now (${why ?? message}): the embedded model answers`)
    return bring(io, screen, peer, EMBEDDED, signal)
  } finally {
    cancel()
  }
}

/** Has the model on the first peer; a copy of an earlier run is used as it is. */
async function bring(
  io: CliIo,
  screen: DemoScreen,
  peer: PeerAccess,
  source: string,
  signal: AbortSignal,
): Promise<string> {
  const known = (await peer.models(signal)).find(
    (entry) => entry.model === source && entry.local && entry.digest !== '',
  )
  if (known !== undefined) {
    screen.done(`model ${source}: the copy of an earlier run (${formatBytes(known.bytes)})`)
    return known.model
  }
  const started = io.clock.now()
  const info = await peer.importModel({ source }, (progress) => screen.progress(progress), signal)
  screen.done(
    `model ${info.model}: ${formatBytes(info.bytes)}, ${info.blocks} blocks, from ${info.source}, in ${formatMs(io.clock.now() - started)}`,
  )
  return info.model
}
