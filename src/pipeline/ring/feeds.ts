/** The shadows that a hop feeds beside the next one: their running digests, each with one feed under way and one that waits. */
import { RowDigest } from './digest.ts'
import { SessionRefusedError } from './errors.ts'

/**
 * Of one hop at a time: a replacement that gets ready, an audit, and what came to nothing before. Digests of those that were
 * fed longest ago are forgotten, since whoever is asked again and again for audits feeds one after another.
 */
const MAX_SHADOWS = 8
/** An origin asks for more when the last has been computed, which may be before its sender knows that it has gone. */
const MAX_OPEN = 2

interface Fed {
  readonly digest: RowDigest
  open: number
  last: Promise<void>
}

export class Feeds {
  readonly #all = new Map<number, Fed>()

  /**
   * What is to be sent to the shadow of this number, behind what is being sent to it.
   * @throws SessionRefusedError where too much is under way already, and what `send` throws
   */
  async run(request: number, send: (digest: RowDigest) => Promise<void>): Promise<void> {
    const fed = this.#of(request)
    if (fed.open === MAX_OPEN) throw new SessionRefusedError('the shadow is being fed already', { request })
    fed.open++
    const own = fed.last.then(() => send(fed.digest)).finally(() => fed.open--)
    fed.last = own.catch(() => undefined)
    return own
  }

  #of(request: number): Fed {
    const fed = this.#all.get(request) ?? { digest: new RowDigest(), open: 0, last: Promise.resolve() }
    if (!this.#all.has(request) && this.#all.size === MAX_SHADOWS) this.#forgetOne()
    this.#all.delete(request)
    this.#all.set(request, fed)
    return fed
  }

  /** @throws SessionRefusedError where all are being fed */
  #forgetOne(): void {
    const idle = this.#all.entries().find(([, { open }]) => open === 0)
    if (idle === undefined) throw new SessionRefusedError(`${MAX_SHADOWS} shadows are being fed already`, {})
    this.#all.delete(idle[0])
  }
}
