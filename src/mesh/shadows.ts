/**
 * Versions of records that this peer has seen and does not keep: unknown kinds, refused bodies, dropped ones. They stand
 * in our digest, so that nobody sends them again and again. Bounded; the oldest are forgotten first.
 */
import type { Clock } from '../util/index.ts'
import { MAX_SHADOWS, SHADOW_KEEP_MS } from './limits.ts'
import { recordId } from './records.ts'
import type { MeshRecord } from './records.ts'

interface Shadow {
  readonly version: number
  readonly why: 'refused' | 'dropped'
  readonly since: number
}

export class Shadows {
  readonly #clock: Clock
  /** An entry has come or gone. */
  readonly #changed: (id: string, version: number) => void
  readonly #shadows = new Map<string, Shadow>()

  constructor(clock: Clock, changed: (id: string, version: number) => void) {
    this.#clock = clock
    this.#changed = changed
  }

  version(named: Pick<MeshRecord, 'kind' | 'author' | 'key'>): number | undefined {
    // Mostly there are none, and a name costs.
    return this.#shadows.size === 0 ? undefined : this.#shadows.get(recordId(named))?.version
  }

  /** `dropped`: it was fine, and is wanted again when its author comes back. */
  add(id: string, version: number, why: 'refused' | 'dropped'): void {
    this.remove(id)
    this.#shadows.set(id, { version, why, since: this.#clock.now() })
    this.#changed(id, version)
    if (this.#shadows.size > MAX_SHADOWS) this.remove(this.#shadows.keys().next().value!)
  }

  remove(id: string): void {
    const shadow = this.#shadows.get(id)
    if (shadow === undefined) return
    this.#shadows.delete(id)
    this.#changed(id, shadow.version)
  }

  /** The author is back: what was dropped of it may be sent again. */
  recall(author: string): void {
    this.#removeWhere((id, { why }) => why === 'dropped' && id.split('\n')[1] === author)
  }

  /** Forgets what is old. */
  sweep(): void {
    this.#removeWhere((_, { since }) => this.#clock.now() - since > SHADOW_KEEP_MS)
  }

  *entries(): Generator<readonly [id: string, version: number]> {
    for (const [id, { version }] of this.#shadows) yield [id, version]
  }

  #removeWhere(is: (id: string, shadow: Shadow) => boolean): void {
    for (const [id, shadow] of this.#shadows) if (is(id, shadow)) this.remove(id)
  }
}
