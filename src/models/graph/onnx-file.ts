/** Which files are read as ONNX: by their name, or by how they begin. */
import { open } from 'node:fs/promises'

/** A protobuf message with a small `ir_version` and a `producer_name`, which is how exporters begin. */
export async function isOnnxFile(path: string): Promise<boolean> {
  if (/\.onnx$/i.test(path)) return true
  const handle = await open(path, 'r').catch(() => null)
  if (handle === null) return false
  try {
    const { buffer, bytesRead } = await handle
      .read(Buffer.alloc(3), 0, 3, 0)
      .catch(() => ({ buffer: Buffer.alloc(0), bytesRead: 0 }))
    return bytesRead === 3 && buffer[0] === 0x08 && buffer[1]! < 32 && buffer[2] === 0x12
  } finally {
    await handle.close()
  }
}
