/** Bytes of protobuf messages, right and wrong ones: written here once more, so that the writer under test is not needed. */

export function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = []
  for (let left = BigInt.asUintN(64, BigInt(value)); ; left >>= 7n) {
    if (left < 0x80n) return Uint8Array.from([...bytes, Number(left)])
    bytes.push(Number(left & 0x7fn) | 0x80)
  }
}

export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

export const int = (field: number, value: number | bigint): Uint8Array => join(varint(field * 8), varint(value))

export function bytes(field: number, content: Uint8Array): Uint8Array {
  return join(varint(field * 8 + 2), varint(content.length), content)
}

export const text = (field: number, content: string): Uint8Array => bytes(field, Buffer.from(content))

export const message = (field: number, ...fields: readonly Uint8Array[]): Uint8Array => bytes(field, join(...fields))

const OPSET_17 = message(8, int(2, 17))

/** A model around the fields of its graph. */
export const modelWith = (...graph: readonly Uint8Array[]): Uint8Array =>
  join(int(1, 8), OPSET_17, message(7, text(2, 'g'), ...graph))

/** An initializer `w`. */
export const initializer = (type: number, dims: readonly (number | bigint)[], ...data: Uint8Array[]): Uint8Array =>
  message(5, ...dims.map((size) => int(1, size)), int(2, type), text(8, 'w'), ...data)

/** An initializer `w` of float32 whose bytes lie elsewhere. */
export const external = (dims: readonly number[], entries: Readonly<Record<string, string>>): Uint8Array =>
  initializer(
    1,
    dims,
    ...Object.entries(entries).map(([key, at]) => message(13, text(1, key), text(2, at))),
    int(14, 1),
  )

/** A graph of If nodes, each in a branch of the one before. */
export function nested(levels: number): Uint8Array {
  let graph = text(2, 'innermost')
  for (let level = 0; level < levels; level++) {
    const attribute = message(5, text(1, 'then_branch'), bytes(6, graph), int(20, 5))
    graph = message(1, text(1, 'c'), text(2, 'y'), text(4, 'If'), attribute)
  }
  return join(int(1, 8), OPSET_17, bytes(7, graph))
}
