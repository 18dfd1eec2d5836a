/** What a hub says of a repository: its files with sizes and hashes, its revision, its licence. Hostile until checked. */
import * as z from 'zod'
import { FetchError } from '../errors.ts'
import { MODULES_FILE, onnxAmong, TOKENIZER_FILE } from '../readers/onnx-folder.ts'

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

/** What the readers of an ONNX file that reads text ask for beside it. */
export const BESIDE_ONNX: readonly string[] = [
  'config.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'generation_config.json',
  'chat_template.jinja',
  'sentence_bert_config.json',
  MODULES_FILE,
  '1_Pooling/config.json',
]
const ONNX_PATH = /^([\w-][\w.-]*\/){0,4}[\w-][\w.-]*\.onnx$/i

/**
 * An ONNX file, where exporters put what does not fit into it, and the tokenizer with what stands beside it, the folder
 * of the file before the one above. Empty where the repository has no such file; without a tokenizer the file alone.
 */
export function onnxFiles(files: readonly HubEntry[], onnx: string): readonly HubEntry[] {
  if (!ONNX_PATH.test(onnx)) return []
  const known = new Map(files.map((entry) => [entry.file, entry]))
  const beside = onnx.slice(0, onnx.lastIndexOf('/') + 1)
  const above = beside.slice(0, beside.lastIndexOf('/', beside.length - 2) + 1)
  const folder = [beside, above].find((one) => known.has(one + TOKENIZER_FILE))
  const small = folder === undefined ? [] : [TOKENIZER_FILE, ...BESIDE_ONNX].map((name) => folder + name)
  const data = [...known.keys()].filter((name) => isDataOf(onnx, name))
  return [...small, onnx, ...data].flatMap((name) => known.get(name) ?? [])
}

/** `model.onnx_data`, `model.onnx_data_1`, `model.onnx.data`. */
function isDataOf(onnx: string, name: string): boolean {
  return name.startsWith(onnx) && /^(_data(_\d{1,4})?|\.data)$/.test(name.slice(onnx.length))
}

/**
 * The files of a model in safetensors, those of its folder alone: configuration, tokenizer, and the weights once, small
 * ones first; of an encoder, or where there are no safetensors, those of its ONNX file. Empty where the repository has neither.
 * @throws UnsupportedModelError when it has several ONNX files, none of them `model.onnx`
 */
export function folderFiles(files: readonly HubEntry[]): readonly HubEntry[] {
  const names = new Set(files.map(({ file }) => file))
  const onnx = onnxAmong(names, 'the repository')
  if (onnx !== null) return onnxFiles(files, onnx)
  const shards = [...names].filter((name) => /^model[\w.-]{0,200}\.safetensors$/.test(name))
  const weights = names.has(WHOLE) ? [WHOLE] : names.has(INDEX) ? [INDEX, ...shards] : []
  if (weights.length === 0 || !names.has('config.json')) return []
  // Llama's first ones have this alone.
  const pieces = names.has('tokenizer.json') ? [] : ['tokenizer.model']
  const wanted = new Set([...BESIDE, ...pieces, ...weights])
  const large = (entry: HubEntry): number => (entry.file.endsWith('.safetensors') ? 1 : 0)
  const chosen = new Map(files.filter(({ file }) => wanted.has(file)).map((entry) => [entry.file, entry]))
  return [...chosen.values()].toSorted((one, other) => large(one) - large(other))
}
