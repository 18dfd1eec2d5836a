/** What the mesh keeps across a restart: the highest version used, and the placements that stand. */
import { z } from 'zod'
import { MAX_PLACED_MODELS, MAX_RECORD_BYTES } from './limits.ts'
import type { MeshFiles, MeshLogger } from './needs.ts'

const FILE = 'mesh.json'
/** Base64 of all placements that may stand, at their largest. */
const MAX_FILE_BYTES = MAX_PLACED_MODELS * MAX_RECORD_BYTES * 1.4

const schema = z.object({
  schema: z.literal('weft.mesh/1'),
  highest: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  placements: z.array(z.base64()).max(MAX_PLACED_MODELS),
})

export interface MeshState {
  readonly highest: number
  /** Records as on the wire; to be judged like any that arrives. */
  readonly placements: readonly Uint8Array[]
}

export interface StateFile {
  /** A damaged file is as good as none: peers tell us again what we have forgotten. */
  read(): Promise<MeshState>
  /** Soon; many changes become one write. */
  changed(): void
  /** All that was changed is written. */
  flush(): Promise<void>
}

export function createStateFile(files: MeshFiles, logger: MeshLogger, current: () => MeshState): StateFile {
  let writing: Promise<void> | undefined
  let dirty = false

  const write = async (): Promise<void> => {
    while (dirty) {
      dirty = false
      const { highest, placements } = current()
      const encoded = placements.map((bytes) => Buffer.from(bytes).toString('base64'))
      const text = JSON.stringify({ schema: 'weft.mesh/1', highest, placements: encoded })
      try {
        await files.write(FILE, Buffer.from(text))
      } catch (error) {
        // The mesh goes on without it; the disk's own trouble is reported by whoever needs the disk.
        logger.warn({ err: error }, 'could not save the state of the mesh')
      }
    }
    writing = undefined
  }

  return {
    async read() {
      const none: MeshState = { highest: 0, placements: [] }
      try {
        const bytes = await files.read(FILE)
        if (bytes === undefined) return none
        if (bytes.length > MAX_FILE_BYTES) throw new Error(`${bytes.length} bytes are too many`)
        const { highest, placements } = schema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
        return { highest, placements: placements.map((text) => new Uint8Array(Buffer.from(text, 'base64'))) }
      } catch (error) {
        logger.warn({ err: error }, 'the saved state of the mesh cannot be read, and is made anew')
        return none
      }
    },
    changed() {
      dirty = true
      writing ??= write()
    },
    async flush() {
      await writing
    },
  }
}
