/** All chances of a run, out of its seed: a stream for each purpose, so that one more draw here moves nothing there. */
import { createHash } from 'node:crypto'
import type { RandomSource } from '../../src/util/index.ts'
import { seededRandom } from '../mesh/support/seeded-random.ts'

export class Chance implements RandomSource {
  readonly #name: string
  readonly #source: ReturnType<typeof seededRandom>

  constructor(name: string) {
    this.#name = name
    this.#source = seededRandom(createHash('sha256').update(name).digest().readUInt32LE(0))
  }

  /** The stream of another purpose. */
  of(purpose: string): Chance {
    return new Chance(`${this.#name}/${purpose}`)
  }

  bytes(length: number): Uint8Array {
    return this.#source.bytes(length)
  }

  /** In [0, 1). */
  next(): number {
    return this.#source.next()
  }

  between(least: number, most: number): number {
    return least + (most - least) * this.next()
  }

  /** A whole number in [least, most]. */
  whole(least: number, most: number): number {
    return Math.min(most, least + Math.floor((most - least + 1) * this.next()))
  }

  is(probability: number): boolean {
    return this.next() < probability
  }

  pick<Item>(items: readonly Item[]): Item | undefined {
    return items[Math.floor(this.next() * items.length)]
  }

  /** Milliseconds until the next of events that come at random, so many a minute. */
  wait(perMinute: number): number {
    return perMinute <= 0 ? Infinity : (-Math.log(1 - this.next()) * 60_000) / perMinute
  }
}
