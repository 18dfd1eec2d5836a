/** Round trips to one peer, one after another. */
import { PeerUnreachableError } from '../net/index.ts'
import type { Network } from '../net/index.ts'
import type { Clock } from '../util/index.ts'
import { OfflineError } from './errors.ts'
import type { PingReply } from './types.ts'

const COUNT = 5
const BYTES = 64
const PAUSE_MS = 200
const DEADLINE_MS = 5_000

/** @throws OfflineError, PeerUnreachableError */
export async function* pingPeer(
  { network, clock }: { readonly network: Network | null; readonly clock: Clock },
  peer: string,
  { count = COUNT, bytes = BYTES }: { readonly count?: number; readonly bytes?: number },
  signal?: AbortSignal,
): AsyncGenerator<PingReply> {
  if (network === null) throw new OfflineError('ping')
  for (let seq = 1; seq <= count; seq++) {
    if (seq > 1) await clock.sleep(PAUSE_MS, signal)
    const deadline = new AbortController()
    const cancel = clock.after(DEADLINE_MS, () =>
      deadline.abort(new PeerUnreachableError(peer, `no echo came within ${DEADLINE_MS / 1000} s`)),
    )
    const either = signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal])
    let ms: number
    try {
      ms = await network.ping(peer, bytes, either)
    } finally {
      cancel()
    }
    yield { seq, ms }
  }
}
