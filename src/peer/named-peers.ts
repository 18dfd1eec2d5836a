/** The peers that a placement by hand names: it is obeyed literally, so nobody takes the place of one that is away. */
import type { Clock } from '../util/index.ts'
import { AbsentPeerError } from './errors.ts'

/** One may be between two connections; one that is started again takes longer. */
const ARRIVAL_MS = 5_000
/** One that is lost while its stages load may come back: a restart takes some seconds. */
const RETURN_MS = 15_000

export class NamedPeers {
  readonly #named: ReadonlySet<string>
  readonly #isConnected: (peer: string) => boolean
  readonly #clock: Clock
  readonly #lost = new Map<string, number>()

  constructor(named: readonly string[], isConnected: (peer: string) => boolean, clock: Clock) {
    this.#named = new Set(named)
    this.#isConnected = isConnected
    this.#clock = clock
  }

  /** @throws AbsentPeerError */
  async arrived(signal?: AbortSignal): Promise<void> {
    const until = this.#clock.now() + ARRIVAL_MS
    for (;;) {
      const absent = [...this.#named].find((peer) => !this.#isConnected(peer))
      if (absent === undefined) return
      if (this.#clock.now() > until) throw new AbsentPeerError(absent)
      await this.#clock.sleep(50, signal)
    }
  }

  /** Asked again and again while these are waited for. @throws AbsentPeerError of one that has been away too long */
  checkLost(waitedFor: readonly string[]): void {
    const now = this.#clock.now()
    for (const peer of waitedFor) {
      if (!this.#named.has(peer) || this.#isConnected(peer)) {
        this.#lost.delete(peer)
        continue
      }
      const since = this.#lost.get(peer) ?? now
      this.#lost.set(peer, since)
      if (now - since > RETURN_MS) throw new AbsentPeerError(peer)
    }
  }
}
