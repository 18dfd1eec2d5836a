/**
 * What MatMulNBits (ONNX Runtime 1.30, x64) makes of a matrix without zero points: w = scale (q - zero). Its packed form holds, behind
 * the integers, -zero scale of each block, which meets the sums of the input's blocks in the kernel. Where a weight is
 * w = scale (q - zero) + offset, the offset can stand there too, and costs nothing at run time. The engine writes the form and
 * nobody promises how: each number is found where it is expected, or nothing is changed.
 */
import type { FileHandle } from 'node:fs/promises'
import type { PrepackedForm } from './graph.ts'

export interface BlockSumsJob {
  /** The file that holds the form, open for reading and writing. */
  readonly file: FileHandle
  readonly form: PrepackedForm
  /** Bytes of the integers. */
  readonly quants: number
  /** What the kernel takes from each integer. */
  readonly zero: number
  readonly outputs: number
  /** Of a row of the matrix. */
  readonly blocks: number
  /** [outputs, blocks] */
  readonly scales: Float32Array
}

/** Outputs whose sums lie side by side, block after block. */
const SIDE_BY_SIDE = 16
/** The sums begin so soon behind the integers. */
const NEAR = 256

export interface BlockSums {
  /** Writes them with offsets [blocks, outputs] in them. */
  write(offsets: Float32Array): Promise<void>
  /** Writes them as the engine made them. */
  restore(): Promise<void>
}

/** Undefined where the form does not hold exactly what is expected. @throws what the file system throws */
export async function findBlockSums(job: BlockSumsJob): Promise<BlockSums | undefined> {
  const { file, form, quants, zero, outputs, blocks, scales } = job
  const [part] = form.parts
  const count = Math.ceil(outputs / SIDE_BY_SIDE) * SIDE_BY_SIDE * blocks
  if (form.parts.length !== 1 || part === undefined || part.length < quants + 4 * count) return undefined
  const bytes = new Uint8Array(Math.min(part.length - quants, 4 * count + NEAR))
  for (let done = 0; done < bytes.length;) {
    const { bytesRead } = await file.read(bytes, done, bytes.length - done, part.offset + quants + done)
    if (bytesRead === 0) return undefined
    done += bytesRead
  }
  const place = (output: number, block: number): number => {
    const column = Math.floor(output / SIDE_BY_SIDE) * blocks + block
    return column * SIDE_BY_SIDE + (output % SIDE_BY_SIDE)
  }
  const first = Float32Array.from({ length: Math.min(SIDE_BY_SIDE, outputs) }, (_, at) => -zero * scales[at * blocks]!)
  const start = Buffer.from(bytes.buffer).indexOf(new Uint8Array(first.buffer))
  if (start < 0 || start + 4 * count > bytes.length) return undefined
  const sums = new Float32Array(bytes.slice(start, start + 4 * count).buffer)
  for (let output = 0; output < outputs; output++) {
    for (let block = 0; block < blocks; block++)
      if (!Object.is(sums[place(output, block)], -zero * scales[output * blocks + block]!)) return undefined
  }
  const write = async (values: Float32Array): Promise<void> => {
    const raw = new Uint8Array(values.buffer)
    for (let done = 0; done < raw.length;)
      done += (await file.write(raw, done, raw.length - done, part.offset + quants + start + done)).bytesWritten
  }
  return {
    write(offsets) {
      const changed = sums.slice()
      for (let output = 0; output < outputs; output++)
        for (let block = 0; block < blocks; block++) {
          const at = place(output, block)
          changed[at] = changed[at]! + offsets[block * outputs + output]!
        }
      return write(changed)
    },
    restore: () => write(sums),
  }
}
