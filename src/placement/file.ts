/** Reads placements that people write. */
import { z } from 'zod'
import { parseJsonText } from '../util/index.ts'
import { PlacementFileError } from './errors.ts'
import type { PlacementFile } from './types.ts'

/** A thousand stages take 100 KB; what is larger is another file. */
const MAX_FILE_CHARACTERS = 1 << 20
const MAX_STAGES = 1024

const block = z.number().int().min(0).max(1_000_000)

const stages = z.array(z.strictObject({ peer: z.string().min(1).max(200), from: block, to: block })).max(MAX_STAGES)

const file = z.strictObject({ model: z.string().min(1).max(200), stages, replicas: stages.exactOptional() })

/** Shape only: `checkPlacement` then holds it against a model. @throws PlacementFileError */
export function parsePlacementFile(text: string): PlacementFile {
  if (text.length > MAX_FILE_CHARACTERS) throw new PlacementFileError(`${text.length} characters are too long`, '')
  let value: unknown
  try {
    value = parseJsonText(text)
  } catch (error) {
    throw new PlacementFileError(`it is not JSON (${(error as Error).message})`, '')
  }
  return checkPlacementFile(value)
}

/** The same for a value that is parsed already. @throws PlacementFileError */
export function checkPlacementFile(value: unknown): PlacementFile {
  const result = file.safeParse(value)
  if (result.success) return result.data
  const [issue] = result.error.issues
  const where = issue?.path.join('.') ?? ''
  const place = where === '' ? '' : `${where}: `
  throw new PlacementFileError(`${place}${issue?.message ?? 'wrong shape'}`, where)
}
