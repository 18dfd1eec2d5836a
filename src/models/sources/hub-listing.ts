/** What a hub says of a repository: its files with sizes and hashes, its revision, its licence. Hostile until checked. */
import * as z from 'zod'
import { FetchError } from '../errors.ts'

export interface HubEntry {
  readonly file: string
  readonly bytes: number | undefined
  /** Hex; the hub keeps it for large files. */
  readonly sha256: string | undefined
}

export interface HubListing {
  /** The commit that the list is of: files fetched by it belong together. Null where the hub does not say it. */
  readonly revision: string | null
  readonly files: readonly HubEntry[]
  readonly license: string | undefined
}

/** Some thousand entries of two hundred bytes. */
export const MAX_LIST_BYTES = 1 << 22
const MAX_FILES = 10_000

const listSchema = z.object({
  sha: z
    .string()
    .regex(/^[0-9a-f]{40,64}$/)
    .optional()
    .catch(undefined),
  tags: z.array(z.string()).max(MAX_FILES).optional().catch(undefined),
  siblings: z
    .array(
      z.object({
        rfilename: z.string().min(1).max(512),
        size: z
          .number()
          .int()
          .min(0)
          .max(2 ** 47)
          .nullish()
          .catch(undefined),
        lfs: z
          .object({ sha256: z.string().regex(/^[0-9a-f]{64}$/) })
          .nullish()
          .catch(undefined),
      }),
    )
    .max(MAX_FILES),
})

/** @throws FetchError when it is no list */
export function parseListing(text: string, source: string): HubListing {
  const parsed = listSchema.safeParse(jsonOf(text))
  if (!parsed.success) {
    throw new FetchError(source, 'the hub answered with something else than a list of files', {
      hint: 'Does HF_ENDPOINT name a hub? A proxy or a log-in page may have answered in its place.',
      final: true,
    })
  }
  const { sha = null, tags = [], siblings } = parsed.data
  return {
    revision: sha,
    files: siblings.map(({ rfilename, size, lfs }) => ({
      file: rfilename,
      bytes: size ?? undefined,
      sha256: lfs?.sha256,
    })),
    license: tags.map((tag) => /^license:([\w.+-]{1,60})$/.exec(tag)?.[1]).find((license) => license !== undefined),
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What the readers of a folder ask for, and weights. */
const BESIDE: ReadonlySet<string> = new Set([
  'config.json',
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
])
const WHOLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'

/**
 * The files of a model in safetensors, those of its folder alone: configuration, tokenizer, and the weights once, small
 * ones first. Empty where the repository has none.
 */
export function folderFiles(files: readonly HubEntry[]): readonly HubEntry[] {
  const names = new Set(files.map(({ file }) => file))
  const shards = [...names].filter((name) => /^model[\w.-]{0,200}\.safetensors$/.test(name))
  const weights = names.has(WHOLE) ? [WHOLE] : names.has(INDEX) ? [INDEX, ...shards] : []
  if (weights.length === 0 || !names.has('config.json')) return []
  const wanted = new Set([...BESIDE, ...weights])
  const large = (entry: HubEntry): number => (entry.file.endsWith('.safetensors') ? 1 : 0)
  const chosen = new Map(files.filter(({ file }) => wanted.has(file)).map((entry) => [entry.file, entry]))
  return [...chosen.values()].toSorted((one, other) => large(one) - large(other))
}
