/**
 * Packed weights on the disk, a file of weights and one that describes it for each block. Whatever moment a process is
 * killed at, a file is found whole or made again: it is renamed into its place before its description is, which says
 * how long it is, when it was written, and its checksum. A file that has its length and time is taken as it is; one
 * that was touched is read through, and made again unless the checksum agrees. `check` reads one through unless it is
 * remembered that somebody has, whoever made it for one: what is to serve a stage is checked before it is loaded
 * (check-stage.ts), so that nothing has to be synced here.
 */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { EngineError, PrepackedDiffersError, WeightFile } from '../../onnx/index.ts'
import type { Engine } from '../../onnx/index.ts'
import { isProcessAlive } from '../../store/index.ts'
import { fileCrc } from './file-crc.ts'
import { isSealedOr } from './seal.ts'
import { replaceFile } from './replace-file.ts'
import { prepackBlock, withoutForms } from './prepack-block.ts'
import type { PackedBlock } from './prepack-block.ts'

export interface WeightCacheNeeds {
  readonly directory: string
  /** Pre-packs blocks for its kernels; without it they are kept as plain weights. */
  readonly engine?: Engine | undefined
  /** A block is used as plain weights, because it cannot be pre-packed; `error` if that has shown itself just now. */
  readonly plain?: ((name: string, error?: unknown) => void) | undefined
  /** A file is read through, since nobody remembers that it was sound. */
  readonly verified?: (() => void) | undefined
}

interface Description<T> {
  readonly packed: T
  /** Of the file. */
  readonly bytes: number
  /** Nanoseconds, as text: when the file was changed last. */
  readonly written: string
  /**
   * CRC-32 of what places the weights and of the file: against disks and power cuts, not against liars, who could as well write
   * a sound one.
   */
  readonly crc: number
  /** Bytes of the file up to which it has weights; after them come pre-packed forms alone. */
  readonly weights: number
  /** Kernel id that the forms are for; null without forms. */
  readonly kernel: string | null
  /** Kernel id whose forms did not hold: not tried again. */
  readonly refused?: string
}

type Made<T> = Pick<Description<T>, 'packed' | 'weights'>

/** `<name>.<pid>.tmp`, and what belongs to it. */
const TEMPORARY = /\.(\d{1,10})\.tmp(?:\.|$)/

export class WeightCache {
  readonly #needs: WeightCacheNeeds
  #ready: Promise<void> | undefined

  constructor(needs: WeightCacheNeeds) {
    this.#needs = needs
  }

  /** Weights that no kernel packs. `make` is called when they are not in the cache, or damaged. */
  async plain<T>(name: string, make: (file: WeightFile) => Promise<T>): Promise<T> {
    const found = await this.#find<T>(name)
    return (
      found?.packed ?? this.#made(name, make, (file, facts) => this.#commit(name, file, { ...facts, kernel: null }))
    )
  }

  /** A block, pre-packed for this machine's kernels where that can be had. */
  async block<T extends PackedBlock>(name: string, make: (file: WeightFile) => Promise<T>): Promise<T> {
    const { engine } = this.#needs
    if (engine === undefined) return withoutForms(await this.plain(name, make))
    const found = await this.#find<T>(name)
    if (found === undefined) return this.#made(name, make, (file, facts) => this.#prepack(name, file, facts, engine))
    if (found.kernel === engine.kernelId) return found.packed
    const packed = withoutForms(found.packed)
    if (found.refused === engine.kernelId) {
      this.#needs.plain?.(name)
      return packed
    }
    return this.#prepack(name, `${name}.weights`, { packed, weights: found.weights }, engine)
  }

  /** Whether `block` would make nothing. */
  async has(name: string): Promise<boolean> {
    const found = await this.#find(name)
    if (found === undefined) return false
    const id = this.#needs.engine?.kernelId
    return id === undefined || found.kernel === id || found.refused === id
  }

  /** Reads a file through; a damaged one is forgotten, so that it is made again. @returns false when it was damaged */
  async check(name: string, signal?: AbortSignal): Promise<boolean> {
    const path = this.#path(`${name}.json`)
    const text = await readFile(path, 'utf8').catch(() => null)
    if (text === null) return true
    const sound = await this.#isSound(name, text, signal).catch(() => {
      signal?.throwIfAborted()
      return false
    })
    if (!sound) await rm(path, { force: true })
    return sound
  }

  async #isSound(name: string, text: string, signal: AbortSignal | undefined): Promise<boolean> {
    const description = JSON.parse(text) as Description<unknown>
    const path = this.#path(`${name}.weights`)
    const seed = seedOf(description)
    return isSealedOr(path, this.#path(`${name}.seal`), meaningOf(seed, description.crc), async () => {
      this.#needs.verified?.()
      return (await fileCrc(path, seed, signal)) === description.crc
    })
  }

  async #made<T>(
    name: string,
    make: (file: WeightFile) => Promise<T>,
    keep: (file: string, facts: Made<T>) => Promise<T>,
  ): Promise<T> {
    this.#ready ??= this.#prepare()
    await this.#ready
    const temporary = `${name}.${process.pid}.tmp.weights`
    const file = await WeightFile.create(this.#path(temporary), `${name}.weights`)
    try {
      let packed: T
      try {
        packed = await make(file)
      } finally {
        await file.close(false)
      }
      return await keep(temporary, { packed, weights: file.bytes })
    } finally {
      await rm(this.#path(temporary), { force: true })
    }
  }

  /** Keeps the block with its forms; where that fails, as plain weights. */
  async #prepack<T extends PackedBlock>(name: string, file: string, made: Made<T>, engine: Engine): Promise<T> {
    const { directory } = this.#needs
    const scratch = `${name}.${process.pid}.tmp`
    // A file that is still being made is not copied.
    const target = file === `${name}.weights` ? `${scratch}.target` : file
    const { packed, weights } = made
    try {
      const block = await prepackBlock(engine, packed, { directory, file, bytes: weights, target, scratch })
      return await this.#commit(name, target, { ...block, kernel: engine.kernelId })
    } catch (error) {
      this.#needs.plain?.(name, error)
      // A full disk may have room the next time; kernels will not change their mind.
      const final = error instanceof EngineError || error instanceof PrepackedDiffersError
      return this.#commit(name, file, { ...made, kernel: null, ...(final ? { refused: engine.kernelId } : {}) })
    }
  }

  /** Puts a finished file into its place, then its description. */
  async #commit<T>(
    name: string,
    file: string,
    facts: Pick<Description<T>, 'packed' | 'weights' | 'kernel' | 'refused'>,
  ): Promise<T> {
    const path = this.#path(file)
    const { size, mtimeNs } = await stat(path, { bigint: true })
    const described = { ...facts, bytes: Number(size), written: String(mtimeNs) }
    const seed = seedOf(described)
    const crc = await fileCrc(path, seed)
    const weights = this.#path(`${name}.weights`)
    await rename(path, weights)
    await this.#describe(name, { ...described, crc })
    // It has just been read through.
    await isSealedOr(weights, this.#path(`${name}.seal`), meaningOf(seed, crc), () => Promise.resolve(true))
    return facts.packed
  }

  #describe(name: string, description: Description<unknown>): Promise<void> {
    return replaceFile(this.#path(`${name}.json`), JSON.stringify(description))
  }

  async #find<T>(name: string): Promise<Description<T> | undefined> {
    try {
      const description = JSON.parse(await readFile(this.#path(`${name}.json`), 'utf8')) as Description<T>
      const path = this.#path(`${name}.weights`)
      const { size, mtimeNs } = await stat(path, { bigint: true })
      if (Number(size) !== description.bytes) return undefined
      if (String(mtimeNs) === description.written) return description
      if ((await fileCrc(path, seedOf(description))) !== description.crc) return undefined
      const touched = { ...description, written: String(mtimeNs) }
      await this.#describe(name, touched)
      return touched
    } catch {
      return undefined
    }
  }

  /** The folder is there, without what processes left in it that were killed. */
  async #prepare(): Promise<void> {
    const { directory } = this.#needs
    await mkdir(directory, { recursive: true, mode: 0o700 })
    for (const file of await readdir(directory)) {
      const owner = TEMPORARY.exec(file)?.[1]
      if (owner !== undefined && !isProcessAlive(Number(owner))) await rm(this.#path(file), { force: true })
    }
  }

  #path(file: string): string {
    return join(this.#needs.directory, file)
  }
}

/** What a seal says of a file. */
function meaningOf(seed: number, crc: number): string {
  return `${seed} ${crc}`
}

/** CRC-32 of what places the weights; what else a description says is harmless when it is wrong, or may change. */
function seedOf({ packed, bytes, weights }: Pick<Description<unknown>, 'packed' | 'bytes' | 'weights'>): number {
  return crc32(JSON.stringify([packed, bytes, weights]))
}
