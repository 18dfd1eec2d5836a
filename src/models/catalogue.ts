/** The catalogue: models by name, and where their bytes may come from, in order of trial. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as z from 'zod'
import { parseJsonText } from '../util/index.ts'
import { CatalogueError } from './errors.ts'
import { isModelName } from './model-name.ts'
import { parseSource } from './sources/parse-source.ts'

export interface CatalogueSource {
  /** A URL, `hf:`, `npm:`, `pypi:`, or `bundled:` with a path in the folder above the catalogue's. */
  readonly from: string
  readonly bytes?: number | undefined
  readonly sha256?: string | undefined
}

export interface CatalogueEntry {
  readonly schema: 'weft.catalogue/1'
  readonly model: string
  readonly license: string
  readonly about: string
  /** Of the manifest that an import with default weights makes: what peers of the mesh offer is held against it. */
  readonly digest?: string | undefined
  readonly sources: readonly CatalogueSource[]
}

export interface CatalogueModel extends CatalogueEntry {
  /** What `bundled:` paths start from. */
  readonly bundled: string
}

export interface Catalogue {
  find(model: string): Promise<CatalogueModel | null>
  /** All models, by name; of two with one name the first folder's. */
  list(): Promise<readonly CatalogueModel[]>
}

/** A page of text and some sources. */
const MAX_FILE_BYTES = 1 << 16

const sha256 = z.string().regex(/^[0-9a-f]{64}$/)

const entrySchema = z.strictObject({
  schema: z.literal('weft.catalogue/1'),
  model: z.string().refine(isModelName, 'not a model name'),
  license: z.string().min(1).max(200),
  about: z.string().max(2000),
  digest: sha256.optional(),
  sources: z
    .array(
      z.strictObject({
        from: z.string().refine(isRemote, 'not a source that a catalogue may name'),
        bytes: z.number().int().min(1).optional(),
        sha256: sha256.optional(),
      }),
    )
    .min(1)
    .max(32),
})

function isRemote(from: string): boolean {
  try {
    return !['plain', 'ollama'].includes(parseSource(from).kind)
  } catch {
    return false
  }
}

export interface CatalogueInit {
  /** Catalogue folders, e.g. `partitions/catalogue` of the package and of the mesh home, in this order. */
  readonly directories: readonly string[]
  /** Gets what is wrong with an entry, which is then passed over. @default it is thrown */
  readonly onRefused?: (error: CatalogueError) => void
}

export function createCatalogue(init: CatalogueInit): Catalogue {
  const list = async (): Promise<readonly CatalogueModel[]> => {
    const models = new Map<string, CatalogueModel>()
    for (const directory of init.directories) {
      for (const model of await readFolder(directory, init.onRefused))
        if (!models.has(model.model)) models.set(model.model, model)
    }
    return [...models.values()].sort((a, b) => (a.model < b.model ? -1 : 1))
  }
  return {
    list,
    find: async (model) => (await list()).find((entry) => entry.model === model) ?? null,
  }
}

async function readFolder(directory: string, onRefused: CatalogueInit['onRefused']): Promise<CatalogueModel[]> {
  const names = (await readdir(directory).catch(() => [] as string[])).filter((name) => name.endsWith('.json'))
  const models: CatalogueModel[] = []
  for (const name of names.toSorted()) {
    try {
      models.push({ ...(await readEntry(join(directory, name))), bundled: dirname(directory) })
    } catch (error) {
      if (onRefused === undefined || !(error instanceof CatalogueError)) throw error
      onRefused(error)
    }
  }
  return models
}

async function readEntry(path: string): Promise<CatalogueEntry> {
  const { size } = await stat(path)
  if (size > MAX_FILE_BYTES) throw new CatalogueError(path, `${size} bytes are over ${MAX_FILE_BYTES}`)
  let data: unknown
  try {
    data = parseJsonText(await readFile(path, 'utf8'))
  } catch (error) {
    throw new CatalogueError(path, `it is not JSON: ${(error as Error).message.slice(0, 200)}`)
  }
  const parsed = entrySchema.safeParse(data)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  throw new CatalogueError(path, `${issue.path.join('.')}: ${issue.message}`)
}
