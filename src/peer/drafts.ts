/** Which small model guesses for an answer: the one that is asked for, or one that is here and of the same vocabulary. */
import { createHash } from 'node:crypto'
import { firstContext, isGraphManifest, tokenizerOf } from '../models/index.ts'
import type { AnyManifest, ModelManifest } from '../models/index.ts'
import type { DraftHosts, DraftModel, GenerateRequest, RouteSegment } from '../pipeline/index.ts'
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
  readonly self: string
  readonly clock: Clock
  readonly library: Pick<Library, 'byDigest' | 'hasBlocks' | 'list' | 'named' | 'tokenizer'>
  readonly store: Pick<BlobStore, 'has'>
  readonly hosts: DraftHosts
  /** For answers that name none; NO_DRAFT: none. @default one that is small enough */
  readonly usual?: string | undefined
  /** Bytes that stages of a model take here. */
  loaded(digest: string): number
  log(fields: object, message: string): void
}

export interface DraftWishes extends Pick<GenerateRequest, 'speculate'> {
  readonly draft: string | undefined
  readonly route: readonly RouteSegment[]
}

/** What guesses are for. */
interface Asked {
  readonly manifest: ModelManifest
  /** Stages of the answer are elsewhere. */
  readonly isSplit: boolean
  /** Bytes of those here that are not loaded yet. */
  readonly lacks: number
}

/** In place of a model: none guesses. */
export const NO_DRAFT = 'off'

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
    { draft, route, speculate = 'auto' }: DraftWishes,
    signal: AbortSignal,
  ): Promise<DraftModel | undefined> {
    if (speculate === 'off' || speculate === 'lookup' || draft === NO_DRAFT) return undefined
    const asked = this.#asked(manifest, route)
    if (draft !== undefined) return this.#load(asked, await this.#named(manifest, draft), signal)
    if (speculate === 'draft') {
      const found = await this.#look(asked, true)
      if (found === undefined)
        throw new DraftUnusableError(manifest.model, undefined, 'none that is smaller has the same vocabulary, or fits')
      return this.#load(asked, found, signal)
    }
    const found = asked.isSplit && this.#needs.usual !== NO_DRAFT ? await this.#own(asked) : undefined
    if (found === undefined) return undefined
    this.#loadMeanwhile(found)
    return this.#modelOf(found)
  }

  #asked(manifest: ModelManifest, route: readonly RouteSegment[]): Asked {
    const { self } = this.#needs
    const here = route.filter(({ peer }) => peer === self)
    const blocks = here.flatMap(({ from, to }) => manifest.blocks.slice(from, to))
    const bytes = blocks.reduce((sum, { memory }) => sum + memory, 0)
    const lacks = Math.max(0, bytes - this.#needs.loaded(manifest.digest))
    return { manifest, isSplit: here.length < route.length, lacks }
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

  async #load({ manifest, lacks }: Asked, draft: ModelManifest, signal: AbortSignal): Promise<DraftModel> {
    const { hosts } = this.#needs
    if (!hosts.fits(draft, lacks))
      throw new DraftUnusableError(
        manifest.model,
        draft.model,
        'it does not fit into the memory that weft may use here',
      )
    await hosts.load(draft, signal)
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
    const { vocabulary } = shape
    // What guesses needs no longer text than what needs no second way to be rotated.
    const context = firstContext(shape)
    return {
      blocks: blocks.length,
      context,
      vocabulary,
      open: (init) => this.#needs.hosts.open(digest, init),
    }
  }

  /** Looked for now and then: models come and go. */
  #own(asked: Asked): Promise<ModelManifest | undefined> {
    const { digest } = asked.manifest
    const now = this.#needs.clock.now()
    const known = this.#found.get(digest)
    if (known !== undefined && now - known.at < LOOK_MS) return known.draft
    // What keeps one from being found keeps nobody from an answer.
    const draft = this.#usual(asked).catch((error: unknown) => {
      this.#needs.log({ model: asked.manifest.model, err: error }, 'no draft model could be looked for')
      return undefined
    })
    this.#found.set(digest, { at: now, draft })
    return draft
  }

  /** The one that this peer was told to take, where it can guess for the model. */
  async #usual(asked: Asked): Promise<ModelManifest | undefined> {
    const { usual, hosts } = this.#needs
    const told = usual === undefined ? undefined : await this.#told(asked, usual)
    return told !== undefined && hosts.fits(told, asked.lacks) ? told : this.#look(asked)
  }

  async #told({ manifest }: Asked, usual: string): Promise<ModelManifest | undefined> {
    try {
      return await this.#named(manifest, usual)
    } catch (error) {
      if (!(error instanceof DraftUnusableError)) throw error
      this.#needs.log({ model: manifest.model, err: error }, 'the draft model of this peer does not guess here')
      return undefined
    }
  }

  /**
   * The largest of those that are small enough, and here.
   * @param isAsked where there is none: the smallest of those that are smaller at all
   */
  async #look({ manifest, lacks }: Asked, isAsked = false): Promise<ModelManifest | undefined> {
    const own = work(manifest)
    const smaller = this.#needs.library
      .list()
      .filter((one): one is ModelManifest => !isGraphManifest(one) && work(one) < own)
      .toSorted((one, other) => work(one) - work(other))
    const small = smaller.filter((one) => work(one) <= own * OWN_SHARE)
    const others = isAsked ? smaller.slice(small.length) : []
    for (const draft of [...small.toReversed(), ...others]) {
      const fits = this.#needs.hosts.fits(draft, lacks, isAsked ? 1 : OWN_MEMORY)
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
