/**
 * The boundary rows that a hop has sent, kept so that a replacement of the next hop can be fed again (DESIGN decision 11).
 * Up to a bound they lie in memory; older ones go to a file that has no name any more, so nothing is left of it whatever
 * ends the process.
 */
import { open, unlink } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { KeptRowsError } from './errors.ts'

/** 14,000 rows of a width of 2,304 in float16: the context of most requests. */
export const KEPT_BYTES = 64 << 20
/** What goes to the file at once. */
const SPILL_BYTES = 4 << 20

export interface KeptChunk {
  readonly position: number
  readonly count: number
  readonly payload: Uint8Array
}

export interface KeptRowsNeeds {
  /** For the file of what is beyond `memory`. */
  readonly directory: string
  /** Bytes. @default KEPT_BYTES */
  readonly memory?: number
  readonly name: string
  /** So many rows went to the file. */
  spilled?(rows: number): void
}

export class KeptRows {
  readonly #needs: KeptRowsNeeds
  /** Rows [#fileEnd, end), in order. */
  #chunks: KeptChunk[] = []
  #bytes = 0
  #end = 0
  #fileEnd = 0
  #rowBytes = 0
  /** The first row that was dropped since what is being written was taken out. */
  #cut = Infinity
  #file: Promise<FileHandle> | undefined
  #last: Promise<void> = Promise.resolve()
  #spilling = false
  #failed = false
  #closed = false
  /** Of those that wait for rows that are still on their way here. */
  #wake: (() => void)[] = []

  constructor(needs: KeptRowsNeeds) {
    this.#needs = needs
  }

  /** Rows [0, end) are here. */
  get end(): number {
    return this.#end
  }

  /** Rows that follow the last. The bytes are copied: a frame's payload may be a piece of a larger buffer. */
  add({ position, count, payload }: KeptChunk): void {
    if (this.#closed || position !== this.#end || count === 0) return
    this.#rowBytes = payload.length / count
    this.#chunks.push({ position, count, payload: payload.slice() })
    this.#bytes += payload.length
    this.#end += count
    this.wake()
    if (this.#failed) this.#letGo()
    else if (this.#bytes > (this.#needs.memory ?? KEPT_BYTES)) this.#spill()
  }

  /** Rows from `position` on never were: others come in their place. */
  truncate(position: number): void {
    if (position >= this.#end) return
    this.#chunks = this.#chunks
      .filter((chunk) => chunk.position < position)
      .map((chunk) => {
        const count = Math.min(chunk.count, position - chunk.position)
        return count === chunk.count
          ? chunk
          : { ...chunk, count, payload: chunk.payload.slice(0, count * this.#rowBytes) }
      })
    this.#bytes = bytesOf(this.#chunks)
    this.#end = position
    this.#fileEnd = Math.min(this.#fileEnd, position)
    this.#cut = Math.min(this.#cut, position)
  }

  /** Rows up to `end` are here, or none come any more, or nobody wants them: `wake` has that looked at. */
  async reaches(end: number, isWanted: () => boolean = () => true): Promise<void> {
    while (!this.#closed && isWanted() && this.#end < end)
      await new Promise<void>((resolve) => this.#wake.push(resolve))
  }

  /** The first row that can still be given: 0, unless the disk had no room. */
  get start(): number {
    return this.#failed ? (this.#chunks[0]?.position ?? this.#end) : 0
  }

  /** Rows from `from` on, those included that come meanwhile, in pieces of at most `rows`. @throws KeptRowsError */
  async *from(from: number, rows: number): AsyncGenerator<KeptChunk> {
    let position = from
    while (position < this.#end) {
      await this.#last
      if (position < this.start) throw new KeptRowsError(position, this.start)
      const count = Math.min(rows, (position < this.#fileEnd ? this.#fileEnd : this.#end) - position)
      const payload = position < this.#fileEnd ? await this.#read(position, count) : this.#copy(position, count)
      yield { position, count, payload }
      position += count
    }
  }

  /** Rows that are in memory; undefined: not all of them are. */
  peek(from: number, count: number): Uint8Array | undefined {
    const isHere = from >= (this.#chunks[0]?.position ?? this.#end) && from + count <= this.#end
    return isHere ? this.#copy(from, count) : undefined
  }

  close(): void {
    this.#closed = true
    this.#chunks = []
    this.#end = 0
    this.wake()
    const file = this.#file
    void this.#last.then(async () => (await file)?.close()).catch(() => undefined)
  }

  wake(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }

  #copy(position: number, count: number): Uint8Array {
    const out = new Uint8Array(count * this.#rowBytes)
    for (const chunk of this.#chunks) {
      const start = Math.max(position, chunk.position)
      const end = Math.min(position + count, chunk.position + chunk.count)
      if (start >= end) continue
      const bytes = chunk.payload.subarray(
        (start - chunk.position) * this.#rowBytes,
        (end - chunk.position) * this.#rowBytes,
      )
      out.set(bytes, (start - position) * this.#rowBytes)
    }
    return out
  }

  async #read(position: number, count: number): Promise<Uint8Array> {
    const out = new Uint8Array(count * this.#rowBytes)
    const file = await this.#file!
    const { bytesRead } = await file.read(out, 0, out.length, position * this.#rowBytes)
    if (bytesRead !== out.length) throw new KeptRowsError(position, this.#fileEnd)
    return out
  }

  /** Without a file, the oldest rows go nowhere. */
  #letGo(): void {
    const most = this.#needs.memory ?? KEPT_BYTES
    while (this.#bytes > most && this.#chunks.length > 1) this.#bytes -= this.#chunks.shift()!.payload.length
  }

  /** The oldest rows go to the file, in order; until they are there they stay in memory. */
  #spill(): void {
    if (this.#spilling) return
    this.#spilling = true
    this.#last = this.#spillAll().finally(() => (this.#spilling = false))
  }

  async #spillAll(): Promise<void> {
    while (!this.#closed && this.#bytes > (this.#needs.memory ?? KEPT_BYTES)) {
      const going: KeptChunk[] = []
      let bytes = 0
      for (const chunk of this.#chunks) {
        if (bytes >= SPILL_BYTES) break
        going.push(chunk)
        bytes += chunk.payload.length
      }
      this.#cut = Infinity
      try {
        await this.#write(going, bytes)
      } catch {
        // No room on the disk: the rows are let go, and whoever needs them is fed from further up.
        this.#failed = true
      }
      const last = going.at(-1)!
      const written = Math.min(last.position + last.count, this.#cut)
      if (!this.#failed) this.#fileEnd = written
      this.#chunks = this.#chunks.filter((chunk) => chunk.position + chunk.count > written)
      this.#bytes = bytesOf(this.#chunks)
      if (this.#failed) return this.#letGo()
    }
  }

  async #write(going: readonly KeptChunk[], bytes: number): Promise<void> {
    this.#file ??= openNameless(join(this.#needs.directory, `${this.#needs.name}.rows`))
    const file = await this.#file
    const out = Buffer.concat(
      going.map(({ payload }) => payload),
      bytes,
    )
    await file.write(out, 0, out.length, going[0]!.position * this.#rowBytes)
    this.#needs.spilled?.(going.reduce((sum, { count }) => sum + count, 0))
  }
}

function bytesOf(chunks: readonly KeptChunk[]): number {
  return chunks.reduce((sum, { payload }) => sum + payload.length, 0)
}

async function openNameless(path: string): Promise<FileHandle> {
  const file = await open(path, 'wx+', 0o600)
  await unlink(path)
  return file
}
