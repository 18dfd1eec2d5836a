/** Adapters of other peers' sessions: fetched from whoever opens one, kept for the next, and never more than so many bytes. */
import type { BlobRequest, Mesh } from '../mesh/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import type { DiskKeeper } from './disk-keeper.ts'
import { DiskQuotaError } from './errors.ts'

/** Two of the largest that a session may bring, or some dozens of the usual ones. */
const MOST_BYTES = 2 ** 31
/** A stage reads it when its session begins. */
const IN_USE_MS = 60_000

export interface FetchedNeeds {
  readonly clock: Clock
  readonly store: BlobStore
  readonly keeper: Pick<DiskKeeper, 'makeRoom'>
  /** Null: alone, and all that is asked for is here. */
  readonly mesh: () => Pick<Mesh, 'fetchTensors'> | null
  /** @default 2 GiB */
  readonly most?: number
}

export class FetchedAdapters {
  readonly #needs: FetchedNeeds
  /** By address, what was used last at the end. */
  readonly #kept = new Map<string, { readonly bytes: number; at: number }>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(needs: FetchedNeeds) {
    this.#needs = needs
  }

  /** Has a sealed adapter in the store, from the origin of the session where it is not here. @returns its file. @throws DiskQuotaError */
  get(adapter: BlobRequest, origin: string): Promise<string> {
    const got = this.#last.then(() => this.#get(adapter, origin))
    this.#last = got.catch(() => undefined)
    return got
  }

  async #get(adapter: BlobRequest, origin: string): Promise<string> {
    const { clock, keeper, mesh, store } = this.#needs
    const { address, bytes } = adapter
    const known = this.#kept.get(address)
    if (!(await store.has(address))) {
      await this.#makeRoom(bytes)
      await keeper.makeRoom(bytes)
      await mesh()?.fetchTensors([adapter], [origin], {})
      this.#kept.set(address, { bytes, at: clock.now() })
    } else if (known !== undefined) {
      this.#kept.delete(address)
      this.#kept.set(address, { ...known, at: clock.now() })
    }
    return store.path(address)
  }

  /** Those used longest ago go; an owner's own are none of these. */
  async #makeRoom(bytes: number): Promise<void> {
    const { clock, most = MOST_BYTES, store } = this.#needs
    let used = [...this.#kept.values()].reduce((sum, each) => sum + each.bytes, 0)
    for (const [address, { bytes: own, at }] of this.#kept) {
      if (used + bytes <= most || clock.now() - at < IN_USE_MS) break
      await store.remove(address)
      this.#kept.delete(address)
      used -= own
    }
    if (used + bytes > most) throw new DiskQuotaError(most, used, bytes)
  }
}
