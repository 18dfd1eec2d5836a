/** Safetensors files (huggingface/safetensors, README "Format") of float32 tensors. */
import { writeFileAtomic } from '../../store/index.ts'

export interface FiledTensor {
  readonly name: string
  readonly dims: readonly number[]
  readonly values: Float32Array
}

/** The table is a multiple of so many bytes, as the format's own writer makes it. */
const ALIGNMENT = 8

/** Whole or not at all. @throws DiskFullError, StoreUnwritableError */
export async function writeSafetensors(
  path: string,
  tensors: readonly FiledTensor[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  await writeFileAtomic(path, safetensorsBytes(tensors, metadata))
}

export function safetensorsBytes(
  tensors: readonly FiledTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let at = 0
  const entries = tensors.map(({ name, dims, values }): [string, unknown] => {
    const from = at
    at += values.byteLength
    return [name, { dtype: 'F32', shape: dims, data_offsets: [from, at] }]
  })
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) })
  const table = Buffer.from(json.padEnd(json.length + (-Buffer.byteLength(json) & (ALIGNMENT - 1))))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(table.length))
  const bytes = tensors.map(({ values }) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return Buffer.concat([length, table, ...bytes])
}
