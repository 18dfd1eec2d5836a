/** Who computes a stage again: chosen by chance among the best, and another when one is lost, refuses, or is found wrong. */
import { CancelledError } from '../errors.ts'
import type { RandomSource } from '../../util/index.ts'
import type { AuditorChoice, Verdict } from './audit-types.ts'
import { openingOf } from './opening.ts'
import type { RouteSegment } from './route.ts'
import { ShadowHop } from './shadow.ts'
import type { StageAuditNeeds } from './stage-audit.ts'

const NOBODY: ReadonlySet<string> = new Set()

export class Auditors {
  readonly #needs: StageAuditNeeds
  readonly #place: number
  readonly #segment: RouteSegment
  /** Auditors that were lost, refused or were found wrong, and why. */
  readonly #failed = new Map<string, string>()
  #shadow: ShadowHop | undefined
  #closed = false

  constructor(needs: StageAuditNeeds, place: number) {
    this.#needs = needs
    this.#place = place
    this.#segment = needs.route[place]!
  }

  /** For good: what it was asked for comes to nothing. */
  close(): void {
    this.#closed = true
    this.#shadow?.close()
    this.#shadow = undefined
  }

  /** The one at work, or another; undefined: nobody does it. */
  async current(): Promise<ShadowHop | undefined> {
    this.#shadow ??= await this.open(NOBODY)
    return this.#shadow
  }

  /**
   * An auditor that takes the session, this peer before all where `prefersHome`; undefined: nobody does.
   * @throws CancelledError once it was closed
   */
  async open(exclude: ReadonlySet<string>, prefersHome = false): Promise<ShadowHop | undefined> {
    const { init, session, followed, route, head } = this.#needs
    for (;;) {
      followed.signal.throwIfAborted()
      if (this.#closed) throw new CancelledError('another attempt has begun')
      const others = new Set([this.#segment.peer, ...this.#failed.keys(), ...exclude])
      const choices = init.audit.auditors(this.#segment, others)
      const home = prefersHome && choices.some(({ peer }) => peer === session.self) ? session.self : undefined
      const peer = home ?? pick(choices, session.random)
      if (peer === undefined) return undefined
      const beside = route.map((each, place) => (place === this.#place ? { ...each, peer } : each))
      const shadow = new ShadowHop(session, followed, beside, this.#place)
      try {
        await shadow.open(openingOf(init, beside, this.#place, head.tokens))
        if (!this.#closed) return shadow
        shadow.close()
      } catch (error) {
        this.drop(shadow, error)
      }
    }
  }

  /** It is not asked again about this stage. */
  drop(shadow: ShadowHop, error: unknown): void {
    this.#failed.set(shadow.peer, error instanceof Error ? error.message : String(error))
    shadow.close()
    if (this.#shadow === shadow) this.#shadow = undefined
  }

  /** Nobody does it. */
  get verdict(): Verdict {
    const [why] = this.#failed.values()
    if (why === undefined) return { kind: 'skipped', reason: 'nobody', why: 'no other peer has these blocks, and room' }
    return { kind: 'skipped', reason: 'lost', why }
  }
}

/** One of the best, by chance: who it will be is known to nobody. */
function pick(choices: readonly AuditorChoice[], random: RandomSource): string | undefined {
  const level = Math.min(...choices.map((choice) => choice.level))
  const best = choices.filter((choice) => choice.level === level)
  return best[random.bytes(1)[0]! % Math.max(1, best.length)]?.peer
}
