/** Safetensors files (huggingface/safetensors, README "Format") of tensors in float32 or half precision. */
import { floatsToHalves } from '../dequantize/index.ts'
import { writeFileAtomic } from '../../store/index.ts'

export interface FiledTensor {
  readonly name: string
  readonly dims: readonly number[]
  readonly values: Float32Array
  /** @default 'F32' */
  readonly type?: 'F32' | 'F16'
}

/** The table is a multiple of so many bytes, as the format's own writer makes it. */
const ALIGNMENT = 8

/** Whole or not at all. @throws DiskFullError, StoreUnwritableError */
export async function writeSafetensors(
  path: string,
  tensors: readonly FiledTensor[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  await writeFileAtomic(path, safetensorsBytes(tensors, metadata), { exported: true })
}

export function safetensorsBytes(
  tensors: readonly FiledTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  let at = 0
  const filed = tensors.map((tensor) => ({
    ...tensor,
    data: tensor.type === 'F16' ? floatsToHalves(tensor.values) : tensor.values,
  }))
  const entries = filed.map(({ name, dims, type = 'F32', data }): [string, unknown] => {
    const from = at
    at += data.byteLength
    return [name, { dtype: type, shape: dims, data_offsets: [from, at] }]
  })
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) })
  const table = Buffer.from(json.padEnd(json.length + (-Buffer.byteLength(json) & (ALIGNMENT - 1))))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(table.length))
  const bytes = filed.map(({ data }) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return Buffer.concat([length, table, ...bytes])
}
