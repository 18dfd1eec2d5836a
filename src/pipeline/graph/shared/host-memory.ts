/** The shared memory of a group of graph hosts, as one of these hosts has it: its own segment to write, all others to read. */
import type { AnyTensor } from '../../../onnx/index.ts'
import type { Tensors } from '../tensors.ts'
import { SegmentWriter, unwritten } from './segment.ts'
import { checkSharedRows, readShared, shareTensors } from './shared-tensor.ts'
import type { SharedRow } from './shared-tensor.ts'

export class HostMemory {
  readonly #own: number
  readonly #descriptors: readonly number[]
  readonly #writer: SegmentWriter
  /** By input: memory that the runs use one after another, since new pages cost more than the copy into them. */
  readonly #inputs = new Map<string, Uint8Array>()

  /** @param own index of its segment. @param descriptors of all segments, of which only its own can be written */
  constructor(own: number, descriptors: readonly number[]) {
    this.#own = own
    this.#descriptors = descriptors
    this.#writer = new SegmentWriter(descriptors[own]!)
  }

  /** Blocks that are not free. */
  get held(): number {
    return this.#writer.held
  }

  /** What was read before under the same names is overwritten. @throws TensorTableError */
  read(rows: unknown): Tensors {
    const tensors = new Map<string, AnyTensor>()
    for (const row of checkSharedRows(rows, this.#descriptors.length)) {
      const [name, , , bytes, segment] = row
      tensors.set(name, readShared(row, this.#descriptors[segment]!, this.#input(name, bytes)))
    }
    return tensors
  }

  /** @returns null where a message has to carry them */
  write(tensors: Tensors): readonly SharedRow[] | null {
    return shareTensors(this.#writer, this.#own, tensors)
  }

  free(blocks: unknown): void {
    if (Array.isArray(blocks)) for (const block of blocks) this.#writer.free(Number(block))
  }

  #input(name: string, bytes: number): Uint8Array {
    let memory = this.#inputs.get(name)
    if (memory === undefined || memory.length < bytes) this.#inputs.set(name, (memory = unwritten(bytes)))
    return memory.subarray(0, bytes)
  }
}
