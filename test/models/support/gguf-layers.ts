/**
 * A GGUF decoder with other layers than it has: some left out, some there twice with nothing to add to the residual. Everything else
 * is the file's own, tokenizer included, so each is a model of the same vocabulary.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { text, u32, u64 } from './gguf-writer.ts'

const SIZES: readonly number[] = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8]
const [U32, STRING, ARRAY] = [4, 8, 9]
const PAD = 32

interface Tensor {
  readonly name: string
  readonly shape: readonly bigint[]
  readonly type: number
  readonly bytes: Uint8Array
}

/** @param layers of the file, in the order of the new one; `null` is one that does nothing */
export async function withLayers(source: string, target: string, layers: readonly (number | null)[]): Promise<void> {
  const file = await readFile(source)
  const { keys, count, tensors } = readGguf(file)
  const common = tensors.filter(({ name }) => !name.startsWith('blk.'))
  const own = layers.flatMap((from, to) =>
    layerOf(tensors, from ?? layers.find((each) => each !== null)!, to, from === null),
  )
  const all = [...common, ...own]
  const head: Uint8Array[] = [
    u32(0x46554747),
    u32(3),
    u64(BigInt(all.length)),
    u64(count),
    patched(keys, layers.length),
  ]
  let offset = 0
  for (const { name, shape, type, bytes } of all) {
    head.push(text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(BigInt(offset)))
    offset += padded(bytes.length)
  }
  const length = head.reduce((sum, piece) => sum + piece.length, 0)
  const data = all.flatMap(({ bytes }) => [bytes, new Uint8Array(padded(bytes.length) - bytes.length)])
  await writeFile(target, Buffer.concat([...head, new Uint8Array(padded(length) - length), ...data]))
}

/** Layers of a file. */
export async function layersOf(source: string): Promise<number> {
  const { tensors } = readGguf(await readFile(source))
  return new Set(tensors.flatMap(({ name }) => /^blk\.(\d+)\./.exec(name)?.[1] ?? [])).size
}

/** What a layer adds to the residual goes through these two. */
function layerOf(tensors: readonly Tensor[], from: number, to: number, isIdle: boolean): Tensor[] {
  return tensors
    .filter(({ name }) => name.startsWith(`blk.${from}.`))
    .map((tensor) => {
      const part = tensor.name.slice(`blk.${from}.`.length)
      const adds = part === 'attn_output.weight' || part === 'ffn_down.weight'
      const bytes = isIdle && adds ? new Uint8Array(tensor.bytes.length) : tensor.bytes
      return { ...tensor, name: `blk.${to}.${part}`, bytes }
    })
}

const padded = (length: number): number => Math.ceil(length / PAD) * PAD

/** The keys with another number of layers. */
function patched({ bytes, layersAt }: Keys, layers: number): Uint8Array {
  const out = Uint8Array.from(bytes)
  out.set(u32(layers), layersAt)
  return out
}

interface Keys {
  readonly bytes: Uint8Array
  readonly layersAt: number
}

function readGguf(file: Buffer): { readonly keys: Keys; readonly count: bigint; readonly tensors: readonly Tensor[] } {
  let at = 8
  const number = (): bigint => file.readBigUInt64LE((at += 8) - 8)
  const small = (): number => file.readUInt32LE((at += 4) - 4)
  const string = (): string => {
    const length = Number(number())
    return file.toString('utf8', at, (at += length))
  }
  const skip = (type: number): void => {
    if (type === STRING) string()
    else if (type === ARRAY) {
      const [each, count] = [small(), Number(number())]
      for (let index = 0; index < count; index++) skip(each)
    } else at += SIZES[type]!
  }
  const [tensorCount, count] = [Number(number()), number()]
  const begin = at
  let layersAt = 0
  for (let index = 0n; index < count; index++) {
    const [key, type] = [string(), small()]
    if (key.endsWith('.block_count') && type === U32) layersAt = at - begin
    skip(type)
  }
  const keys = { bytes: file.subarray(begin, at), layersAt }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = string()
    const shape = Array.from({ length: small() }, number)
    return { name, shape, type: small(), offset: Number(number()) }
  })
  const data = padded(at)
  const ends = [...infos.map(({ offset }) => offset), file.length - data].toSorted((one, other) => one - other)
  const tensors = infos.map(({ offset, ...info }) => {
    const end = ends.find((next) => next > offset)!
    return { ...info, bytes: file.subarray(data + offset, data + end) }
  })
  return { keys, count, tensors }
}
