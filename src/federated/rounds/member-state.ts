/** Where one member stands in a job, over restarts: the state that it holds, the one before, and what stands for it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { WeftError } from '../../errors.ts'
import { readSummedBytes, readSummedJson, summedBytes, summedJson, writeFileAtomic } from '../../store/index.ts'
import { JobDamagedError } from '../plan/errors.ts'
import type { SiteMemory } from '../site/site.ts'
import { stateOfLeft } from './left-update.ts'
import { decodeMemory, encodeMemory } from './memory.ts'
import { decodeState, encodeState, FIRST_STATE, stateHash, stepsOf } from './state.ts'
import type { FedState } from './state.ts'
import type { Vote } from './wire.ts'

export interface Standing {
  readonly state: FedState
  readonly hash: Uint8Array
  /** Of at least t members; undefined: too few are known to stand for it. The first state needs none. */
  readonly votes: readonly Vote[] | undefined
}

/** What a member has signed of sums from a state. */
interface Bound {
  readonly state: string
  readonly peers: readonly string[]
  /** Of a sum of clusters, by their delegates. */
  readonly clusters?: readonly string[] | undefined
}

/** Files of a folder; in memory for simulations and tests. */
export interface StateFiles {
  read(name: string): Promise<Uint8Array | undefined>
  write(name: string, bytes: Uint8Array): Promise<void>
}

export function folderFiles(folder: string): StateFiles {
  return {
    read: (name) =>
      readFile(join(folder, name)).catch((error: unknown) => {
        // Any other failure is not an empty folder: a member that forgot where it stands would sign anew.
        if ((error as { code?: string }).code === 'ENOENT') return undefined
        throw error
      }),
    write: (name, bytes) => writeFileAtomic(join(folder, name), bytes),
  }
}

const voteSchema = z.array(z.object({ peer: z.string(), signature: z.base64() }))
const fileSchema = z.object({
  schema: z.literal('weft.fed-standing/1'),
  hash: z.string(),
  next: z.int().min(0),
  certified: voteSchema.nullable(),
  before: z.boolean(),
  bound: z
    .object({ state: z.string(), peers: z.array(z.string()), clusters: z.array(z.string()).optional() })
    .nullable(),
})

const FILE = 'standing.json'
/** The state that is certified by that file, until it is about another: that of a member that ends in between. */
const CERTIFIED = 'certified.bin'
/** What of this site may be in a sum, where training again would not give the same. */
const LEFT = 'left.bin'

export class MemberState {
  readonly #files: StateFiles
  #current: Standing
  #before: Standing | undefined
  #next = 0
  #bound: Bound | undefined
  #memory: SiteMemory = {}
  #memoryBefore: SiteMemory = {}
  /** The state that `standing.json` is about. */
  #written: FedState = FIRST_STATE
  #isCertifiedThere = false
  /** States and memories that are newer than their files. */
  #isUnsaved = false
  /** The state for which something has left; null: none; undefined: not looked yet. */
  #leftFor: string | null | undefined
  /** The loop and the coordinator both write: one after the other, each what stands then. */
  #turn: Promise<void> = Promise.resolve()

  private constructor(files: StateFiles) {
    this.#files = files
    this.#current = { state: FIRST_STATE, hash: stateHash(FIRST_STATE), votes: [] }
  }

  /** @throws JobDamagedError: a member that forgot where it stands would sign anew */
  static async open(files: StateFiles): Promise<MemberState> {
    const opened = new MemberState(files)
    try {
      await opened.#load()
    } catch (error) {
      throw error instanceof WeftError ? error : new JobDamagedError(FILE, error)
    }
    return opened
  }

  get current(): Standing {
    return this.#current
  }

  /** Number of the next secure sum: never one twice with another set. */
  get next(): number {
    return this.#next
  }

  get memory(): SiteMemory {
    return this.#memory
  }

  get isCertified(): boolean {
    return this.#current.votes !== undefined
  }

  /** Sums that are certified: whose aggregator is whose follows from it. */
  get base(): number {
    const { state, votes } = this.#current
    const standing = votes === undefined && this.#before !== undefined ? this.#before.state : state
    return stepsOf(standing)
  }

  /** The members whose sum this one has signed from its state, and not learnt. */
  get bound(): readonly string[] | null {
    return this.#bound?.state === hex(this.#current.hash) ? this.#bound.peers : null
  }

  /** The clusters, by their delegates, whose sum this one has signed from its state as a delegate, and not learnt. */
  get boundClusters(): readonly string[] | null {
    return this.bound === null ? null : (this.#bound?.clusters ?? null)
  }

  /** Durable when it resolves: only then a signature over that set may leave. */
  async bind(peers: readonly string[], next: number): Promise<void> {
    this.#next = Math.max(this.#next, next)
    const clusters = this.boundClusters
    this.#bound = { state: hex(this.#current.hash), peers, ...(clusters === null ? {} : { clusters }) }
    await this.#save()
  }

  /** The same of a set of clusters, after that of the own cluster. */
  async bindClusters(clusters: readonly string[]): Promise<void> {
    this.#bound = { state: hex(this.#current.hash), peers: this.bound ?? [], clusters }
    await this.#save()
  }

  async raise(next: number): Promise<void> {
    if (next <= this.#next) return
    this.#next = next
    await this.#save()
  }

  /** What this member made of a sum itself, or takes up before enough are known to stand for it. */
  async apply(state: FedState, memory: SiteMemory, next: number): Promise<void> {
    this.#before = this.#current
    this.#current = { state, hash: stateHash(state), votes: undefined }
    this.#next = Math.max(this.#next, next)
    this.#memoryBefore = this.#memory
    this.#memory = memory
    this.#isUnsaved = true
    await this.#save()
  }

  /** A state that t members stand for, from somebody else. */
  async adopt(state: FedState, votes: readonly Vote[], next: number): Promise<void> {
    this.#before = undefined
    this.#current = { state, hash: stateHash(state), votes }
    this.#next = Math.max(this.#next, next)
    this.#isUnsaved = true
    await this.#save()
  }

  /** @param hash of the state that the votes are for: another may be the current one by now */
  async certify(hash: Uint8Array, votes: readonly Vote[]): Promise<void> {
    if (Buffer.compare(hash, this.#current.hash) !== 0) return
    this.#current = { ...this.#current, votes }
    this.#before = undefined
    await this.#save()
  }

  /** From a state for which too few stand to the one before. */
  async back(): Promise<void> {
    if (this.#before === undefined || this.isCertified) return
    this.#current = this.#before
    this.#before = undefined
    this.#memory = this.#memoryBefore
    this.#isUnsaved = true
    await this.#save()
  }

  /** Durable when it resolves: only then it may leave. @param state hash of what it is for */
  async keepLeft(state: string, bytes: Uint8Array): Promise<void> {
    await this.#files.write(LEFT, summedBytes(bytes))
    this.#leftFor = state
  }

  /** What has left from this state. @throws JobDamagedError */
  async left(state: string): Promise<Uint8Array | undefined> {
    if (this.#leftFor !== undefined && this.#leftFor !== state) return undefined
    try {
      const bytes = await this.#read(LEFT)
      this.#leftFor = bytes === undefined ? null : stateOfLeft(bytes)
      return this.#leftFor === state ? bytes : undefined
    } catch (error) {
      throw new JobDamagedError(LEFT, error)
    }
  }

  async #load(): Promise<void> {
    const bytes = await this.#files.read(FILE)
    if (bytes === undefined) return
    const file = fileSchema.parse(readSummedJson(Buffer.from(bytes).toString('utf8')))
    const stored = async (name: string): Promise<FedState> => {
      const read = await this.#read(name)
      return read === undefined ? FIRST_STATE : decodeState(read)
    }
    const votesOf = (list: z.output<typeof voteSchema>): Vote[] =>
      list.map(({ peer, signature }) => ({ peer, signature: new Uint8Array(Buffer.from(signature, 'base64')) }))
    const state = await stored('current.bin')
    const hash = stateHash(state)
    // The process ended after a new state was written and before this file was: nobody is known to stand for it.
    const isOther = hex(hash) !== file.hash
    const votes = file.certified === null || isOther ? undefined : votesOf(file.certified)
    this.#current = { state, hash, votes }
    this.#written = state
    this.#isCertifiedThere = votes !== undefined
    if (file.before || isOther) {
      const certified = isOther && file.certified !== null ? await stored(CERTIFIED) : undefined
      const isThat = certified !== undefined && hex(stateHash(certified)) === file.hash
      const before = isThat ? certified : await stored('before.bin')
      this.#before = { state: before, hash: stateHash(before), votes: [] }
      const memoryBefore = await this.#read('memory-before.bin')
      if (memoryBefore !== undefined) this.#memoryBefore = decodeMemory(memoryBefore)
    }
    this.#next = file.next
    this.#bound = file.bound ?? undefined
    const memory = await this.#read('memory.bin')
    if (memory !== undefined) this.#memory = decodeMemory(memory)
  }

  /** A state that is damaged would else be taken for one that nobody stands for yet, and the one before it for the last. */
  async #read(name: string): Promise<Uint8Array | undefined> {
    const file = await this.#files.read(name)
    return file === undefined ? undefined : new Uint8Array(readSummedBytes(file))
  }

  #save(): Promise<void> {
    const turn = this.#turn.then(() => this.#write())
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #write(): Promise<void> {
    const { state, hash, votes } = this.#current
    const certified = votes?.map(({ peer, signature }) => ({
      peer,
      signature: Buffer.from(signature).toString('base64'),
    }))
    const before = this.#before
    const file = {
      schema: 'weft.fed-standing/1',
      hash: hex(hash),
      next: this.#next,
      certified: certified ?? null,
      before: before !== undefined,
      bound: this.#bound ?? null,
    }
    if (this.#isUnsaved) {
      const memories = [this.#memoryBefore, this.#memory] as const
      this.#isUnsaved = false
      try {
        if (this.#isCertifiedThere) await this.#files.write(CERTIFIED, summedBytes(encodeState(this.#written)))
        await this.#files.write('memory-before.bin', summedBytes(encodeMemory(memories[0])))
        if (before !== undefined) await this.#files.write('before.bin', summedBytes(encodeState(before.state)))
        await this.#files.write('current.bin', summedBytes(encodeState(state)))
        await this.#files.write('memory.bin', summedBytes(encodeMemory(memories[1])))
      } catch (error) {
        this.#isUnsaved = true
        throw error
      }
    }
    await this.#files.write(FILE, Buffer.from(summedJson(file)))
    this.#written = state
    this.#isCertifiedThere = certified !== undefined
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
