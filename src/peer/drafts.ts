/** Which small model guesses for an answer: the one that is asked for, or one that is here and of the same vocabulary. */
import { createHash } from 'node:crypto'
import { isGraphManifest, tokenizerOf } from '../models/index.ts'
import type { AnyManifest, ModelManifest } from '../models/index.ts'
import { MemoryQuotaError } from '../pipeline/index.ts'
import type { DraftHosts, DraftModel, GenerateRequest } from '../pipeline/index.ts'
import type { BlobStore } from '../store/index.ts'
import type { Clock } from '../util/index.ts'
import { DraftUnusableError } from './draft-errors.ts'
import type { Library } from './library.ts'

/** One that nobody has named has at most such a share of the model's work, */
const OWN_SHARE = 1 / 3
/** and takes at most such a share of the memory that is left. */
const OWN_MEMORY = 1 / 2
/** For so long it is not looked for again. */
const LOOK_MS = 30_000
/** Tokens that are compared before others have their turn. */
const SLICE = 8_192

export interface DraftsNeeds {
  readonly clock: Clock
  readonly library: Pick<Library, 'byDigest' | 'hasBlocks' | 'list' | 'named' | 'tokenizer'>
  readonly store: Pick<BlobStore, 'has'>
  readonly hosts: DraftHosts
  log(fields: object, message: string): void
}

export interface DraftWishes extends Pick<GenerateRequest, 'speculate'> {
  readonly draft: string | undefined
  /** Stages of the answer are elsewhere. */
  readonly isSplit: boolean
}

export class Drafts {
  readonly hosts: DraftHosts
  readonly #needs: DraftsNeeds
  /** SHA-256 of all tokens, by the tokenizer's address. */
  readonly #vocabularies = new Map<string, Promise<string>>()
  readonly #found = new Map<string, { readonly at: number; readonly draft: Promise<ModelManifest | undefined> }>()
  readonly #loading = new Set<string>()

  constructor(needs: DraftsNeeds) {
    this.#needs = needs
    this.hosts = needs.hosts
  }

  /**
   * One that is named is loaded when this resolves; another may be loaded later, and guesses from then on.
   * @throws DraftUnusableError where one is asked for and none can be had
   */
  async of(
    manifest: ModelManifest,
    { draft, isSplit, speculate = 'auto' }: DraftWishes,
    signal: AbortSignal,
  ): Promise<DraftModel | undefined> {
    if (speculate === 'off' || speculate === 'lookup') return undefined
    if (draft !== undefined) return this.#load(manifest, await this.#named(manifest, draft), signal)
    if (speculate === 'draft') {
      const found = await this.#look(manifest)
      if (found === undefined)
        throw new DraftUnusableError(manifest.model, undefined, 'none that is smaller has the same vocabulary')
      return this.#load(manifest, found, signal)
    }
    const found = isSplit ? await this.#own(manifest) : undefined
    if (found === undefined) return undefined
    this.#loadMeanwhile(found)
    return this.#modelOf(found)
  }

  /** @throws DraftUnusableError */
  async #named(manifest: ModelManifest, name: string): Promise<ModelManifest> {
    const { library } = this.#needs
    const refuse = (why: string): never => {
      throw new DraftUnusableError(manifest.model, name, why)
    }
    const draft = library.named(name) ?? library.byDigest(name)
    if (draft === undefined) return refuse('this peer does not have it, and it is not fetched for this')
    if (isGraphManifest(draft)) return refuse('it was imported as a graph')
    if (work(draft) >= work(manifest)) return refuse('it computes as much for a token, or more')
    if (!(await this.#isWhole(draft)))
      return refuse('this peer does not have all of it, and it is not fetched for this')
    if (!(await this.#isAlike(manifest, draft))) return refuse('it has another vocabulary')
    return draft
  }

  async #load(manifest: ModelManifest, draft: ModelManifest, signal: AbortSignal): Promise<DraftModel> {
    await this.#needs.hosts.load(draft, signal).catch((error: unknown) => {
      if (!(error instanceof MemoryQuotaError)) throw error
      throw new DraftUnusableError(manifest.model, draft.model, error.message)
    })
    return this.#modelOf(draft)
  }

  /** The next answer has it. What keeps it from being loaded keeps nobody from an answer. */
  #loadMeanwhile(draft: ModelManifest): void {
    const needs = this.#needs
    const { hosts } = needs
    if (this.#loading.has(draft.digest) || hosts.loaded.some(({ digest }) => digest === draft.digest)) return
    this.#loading.add(draft.digest)
    hosts
      .load(draft)
      .catch((error: unknown) => needs.log({ model: draft.model, err: error }, 'a draft model could not be loaded'))
      .finally(() => this.#loading.delete(draft.digest))
  }

  #modelOf({ digest, blocks, shape }: ModelManifest): DraftModel {
    const { context, vocabulary } = shape
    return {
      blocks: blocks.length,
      context,
      vocabulary,
      open: (init) => this.#needs.hosts.open(digest, init),
    }
  }

  /** Looked for now and then: models come and go. */
  #own(manifest: ModelManifest): Promise<ModelManifest | undefined> {
    const now = this.#needs.clock.now()
    const known = this.#found.get(manifest.digest)
    if (known !== undefined && now - known.at < LOOK_MS) return known.draft
    const draft = this.#look(manifest).catch(() => undefined)
    this.#found.set(manifest.digest, { at: now, draft })
    return draft
  }

  /** The largest of those that are small enough, and here. */
  async #look(manifest: ModelManifest): Promise<ModelManifest | undefined> {
    const most = work(manifest) * OWN_SHARE
    const small = this.#needs.library
      .list()
      .filter((one): one is ModelManifest => !isGraphManifest(one) && work(one) <= most)
      .toSorted((one, other) => work(other) - work(one))
    for (const draft of small) {
      const fits = this.#needs.hosts.fits(draft, OWN_MEMORY)
      if (fits && (await this.#isWhole(draft)) && (await this.#isAlike(manifest, draft))) return draft
    }
    return undefined
  }

  async #isWhole(draft: ModelManifest): Promise<boolean> {
    const { library, store } = this.#needs
    return (await store.has(tokenizerOf(draft).address)) && library.hasBlocks(draft, 0, draft.blocks.length)
  }

  async #isAlike(one: ModelManifest, other: ModelManifest): Promise<boolean> {
    if (tokenizerOf(one).address === tokenizerOf(other).address) return true
    return (await this.#vocabulary(one)) === (await this.#vocabulary(other))
  }

  #vocabulary(manifest: AnyManifest): Promise<string> {
    const { address } = tokenizerOf(manifest)
    const known = this.#vocabularies.get(address) ?? this.#hashed(manifest)
    this.#vocabularies.set(address, known)
    known.catch(() => this.#vocabularies.delete(address))
    return known
  }

  async #hashed(manifest: AnyManifest): Promise<string> {
    const tokenizer = await this.#needs.library.tokenizer(manifest)
    const hash = createHash('sha256')
    for (let from = 0; from < tokenizer.vocabulary; from += SLICE) {
      const end = Math.min(from + SLICE, tokenizer.vocabulary)
      for (let id = from; id < end; id++) {
        const bytes = tokenizer.bytes(id, { special: true })
        hash.update(Uint8Array.of(bytes.length & 255, bytes.length >> 8)).update(bytes)
      }
      await this.#needs.clock.sleep(0)
    }
    return hash.digest('hex')
  }
}

/** Multiply-adds times two for one token. */
function work({ blocks }: ModelManifest): number {
  return blocks.reduce((sum, { flops }) => sum + flops, 0)
}
