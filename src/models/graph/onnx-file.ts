/** Which files are read as ONNX: by their name, or by how they begin. */
import { open } from 'node:fs/promises'

/** Fields of a ModelProto that exporters write behind `ir_version`: all of the message's that have one byte of tag. */
const SECOND_TAGS: ReadonlySet<number> = new Set([0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42])

/** A protobuf message that begins with a small `ir_version` and goes on as a model does. */
export async function isOnnxFile(path: string): Promise<boolean> {
  if (/\.onnx$/i.test(path)) return true
  const handle = await open(path, 'r').catch(() => null)
  if (handle === null) return false
  try {
    const { buffer, bytesRead } = await handle
      .read(Buffer.alloc(3), 0, 3, 0)
      .catch(() => ({ buffer: Buffer.alloc(0), bytesRead: 0 }))
    return bytesRead === 3 && buffer[0] === 0x08 && buffer[1]! < 32 && SECOND_TAGS.has(buffer[2]!)
  } finally {
    await handle.close()
  }
}
