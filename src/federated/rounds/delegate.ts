/**
 * The part of a cluster's delegate in the sum of clusters. Its vector there is nothing but masks, which it adds to its own
 * vector in the sum of its cluster: what comes out of that is the cluster's sum, masked, and is taken for its vector.
 */
import type { RandomSource } from '../../util/index.ts'
import { SecureClient } from '../secagg/client.ts'
import type { Advertisement } from '../secagg/layout.ts'
import type { MaskedTrailer } from '../secagg/messages.ts'
import { unpack } from '../secagg/packing.ts'
import { nodePrimitives } from '../secagg/primitives.ts'
import type { SignedRounds } from '../secagg/signed-rounds.ts'
import type { UpdateSource } from '../secagg/update.ts'
import type { Pipe } from './pipe.ts'
import { freshSecrets } from './secure-member.ts'
import type { SecureMemberInit } from './secure-member.ts'
import { bodyOf, expectOf, revealBody } from './wire.ts'

export interface DelegateNeeds {
  readonly random: RandomSource
  readonly signedRounds: SignedRounds
  /** Told before a set of clusters is signed; throws when this member may not sign it. By identity of their delegates, hex. */
  readonly mayRelease: (delegates: readonly string[]) => void
  /** Before the signature under that set leaves. */
  readonly remember: () => Promise<void>
}

export class Delegate {
  readonly #client: SecureClient
  readonly #remember: DelegateNeeds['remember']
  readonly #init: Omit<SecureMemberInit, 'update'>
  #identities: readonly string[] = []
  #survivors: readonly string[] = []
  #masks: Uint32Array = new Uint32Array()
  #trailer: MaskedTrailer | undefined

  constructor(needs: DelegateNeeds, init: Omit<SecureMemberInit, 'update'>) {
    const { random } = needs
    this.#init = init
    this.#remember = needs.remember
    const signedRounds: SignedRounds = {
      claim: (round, set) => {
        needs.mayRelease(this.#survivors)
        return needs.signedRounds.claim(round, set)
      },
    }
    const nothing: UpdateSource = { length: init.header.d, read: (_, words) => void words.fill(0) }
    this.#client = new SecureClient(
      { crypto: nodePrimitives, coefficient: () => random.bytes(32), signedRounds },
      { ...init, update: nothing, secrets: freshSecrets(random) },
    )
  }

  get entry(): Advertisement {
    return this.#client.advertisement
  }

  /** What it signed of its masks: clusters that come so far are told apart by it. */
  get trailer(): MaskedTrailer | undefined {
    return this.#trailer
  }

  /** Before anything of its cluster leaves. @param wait milliseconds that the aggregator may be silent */
  async share(pipe: Pipe, wait: number): Promise<void> {
    const roster = bodyOf('roster', await expectOf(pipe, ['roster'], wait)).entries
    this.#identities = roster.map(({ identity }) => Buffer.from(identity).toString('hex')).sort()
    await pipe.send('shares', this.#client.roster(roster))
    const { sealed } = bodyOf('ciphertexts', await expectOf(pipe, ['ciphertexts'], wait))
    const vector = this.#client.ciphertexts(sealed)
    const parts: Uint8Array[] = []
    for (;;) {
      const next = vector.next()
      if (next.done === true) {
        this.#trailer = next.value
        break
      }
      parts.push(new Uint8Array(next.value))
    }
    const { bits, d } = this.#init.header
    this.#masks = unpack(new Uint8Array(Buffer.concat(parts)), bits, d)
  }

  /** The same, with the masks of the cluster on it. */
  masked(update: UpdateSource): UpdateSource {
    return {
      length: update.length,
      read: (from, words) => {
        update.read(from, words)
        for (let index = 0; index < words.length; index++) words[index]! += this.#masks[from + index]!
      },
    }
  }

  /** Once the sums of clusters are there: which they are, and what takes their masks off all of them together. */
  async release(pipe: Pipe, wait: number): Promise<void> {
    const { list } = bodyOf('survivors', await expectOf(pipe, ['survivors'], wait))
    this.#survivors = list.map(({ position }) => this.#identities[position] ?? '').sort()
    const signed = this.#client.survivors(list)
    await this.#remember()
    await pipe.send('consistency', signed)
    const ballots = bodyOf('ballots', await expectOf(pipe, ['ballots'], wait)).list
    await pipe.send('reveal', revealBody(this.#client.consistency(ballots)))
  }

  abort(): void {
    this.#masks.fill(0)
    this.#client.abort()
  }
}
