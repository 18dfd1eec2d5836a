/**
 * Models of ollama's local folder: `manifests/<host>/<namespace>/<name>/<tag>` is an image manifest (JSON), whose layers
 * lie in `blobs/sha256-<hex>`; the layer of the model itself is a GGUF file. The folder is only read.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { ModelFileError, SourceFileError, UnsupportedModelError } from '../errors.ts'
import { isModelName, modelNameOf } from '../model-name.ts'

export interface OllamaName {
  readonly host: string
  readonly namespace: string
  readonly name: string
  readonly tag: string
}

export interface OllamaFile {
  /** The GGUF file, in ollama's own folder. */
  readonly path: string
  readonly bytes: number
  /** Hex. */
  readonly sha256: string
  /** What weft calls it. */
  readonly model: string
  /** Parts of the model that weft does not use, e.g. `projector`. */
  readonly unused: readonly string[]
}

const DEFAULT_HOST = 'registry.ollama.ai'
const DEFAULT_NAMESPACE = 'library'
const DEFAULT_TAG = 'latest'
/** Some layers of a hundred bytes each. */
const MAX_MANIFEST_BYTES = 1 << 18
/** Names are parts of paths: none begins with a dot. */
const PART = /^[A-Za-z0-9_][\w.-]{0,127}$/
const HOST = /^[A-Za-z0-9_][\w.-]{0,252}(?::\d{1,5})?$/
const LAYER = 'application/vnd.ollama.image.'

/** `[[host/]namespace/]name[:tag]`, as ollama writes it; null for anything else. */
export function parseOllamaName(text: string): OllamaName | null {
  const parts = text.split('/')
  const [name = '', tag = DEFAULT_TAG, ...more] = parts.pop()!.split(':')
  const namespace = parts.pop() ?? DEFAULT_NAMESPACE
  const host = parts.pop() ?? DEFAULT_HOST
  const sound = parts.length === 0 && more.length === 0 && HOST.test(host)
  return sound && [namespace, name, tag].every((part) => PART.test(part)) ? { host, namespace, name, tag } : null
}

/** Where ollama keeps models: as it is told, under the user's home, and where its service does on Linux. */
export function ollamaFolders(environment: Readonly<Record<string, string | undefined>>): readonly string[] {
  const told = environment['OLLAMA_MODELS']
  if (told !== undefined && told !== '') return [told]
  const home = environment['HOME'] ?? environment['USERPROFILE'] ?? homedir()
  return [join(home, '.ollama', 'models'), '/usr/share/ollama/.ollama/models', '/var/lib/ollama/models']
}

/** Is it such a folder? */
export async function isOllamaFolder(path: string): Promise<boolean> {
  const there = async (name: string): Promise<boolean> =>
    (await stat(join(path, name)).catch(() => null))?.isDirectory() === true
  return (await there('manifests')) && (await there('blobs'))
}

/**
 * The model's file; of the folders the first one that has the model counts.
 * @throws SourceFileError, ModelFileError, UnsupportedModelError
 */
export async function locateOllama(folders: readonly string[], name: OllamaName, label: string): Promise<OllamaFile> {
  for (const folder of folders) {
    const path = join(folder, 'manifests', name.host, name.namespace, name.name, name.tag)
    const stats = await stat(path).catch(() => null)
    if (stats !== null) return readManifest(folder, path, name, label)
  }
  const known = (await Promise.all(folders.map(listOllama))).flat()
  const has = known.length === 0 ? 'no model of ollama is there' : `there are ${known.slice(0, 20).join(', ')}`
  throw new SourceFileError(label, `it is not in ${folders.join(', ')}: ${has}`)
}

/** Names of the models in a folder, as they are typed. */
export async function listOllama(folder: string): Promise<string[]> {
  const root = join(folder, 'manifests')
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .flatMap((path) => {
      const [host = '', namespace = '', name = '', tag = '', ...more] = path.split(/[/\\]/)
      const shown = typed({ host, namespace, name, tag })
      return more.length === 0 && parseOllamaName(shown) !== null ? [shown] : []
    })
    .toSorted()
}

function typed({ host, namespace, name, tag }: OllamaName): string {
  const before = host === DEFAULT_HOST ? (namespace === DEFAULT_NAMESPACE ? '' : `${namespace}/`) : null
  return `${before ?? `${host}/${namespace}/`}${name}${tag === DEFAULT_TAG ? '' : `:${tag}`}`
}

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  layers: z
    .array(
      z.object({
        mediaType: z.string().max(200),
        digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
        size: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
      }),
    )
    .max(1000),
})

async function readManifest(folder: string, path: string, name: OllamaName, label: string): Promise<OllamaFile> {
  const layers = await readLayers(path, label)
  const of = (kind: string): typeof layers => layers.filter(({ mediaType }) => mediaType === `${LAYER}${kind}`)
  const [model, ...others] = of('model')
  if (of('adapter').length > 0) {
    throw new UnsupportedModelError(`${label} is an adapter on another model, which weft does not yet apply`, {
      hint: 'Import the model without the adapter, or a file in which the two are merged.',
    })
  }
  if (model === undefined || others.length > 0) {
    throw new UnsupportedModelError(`${label} has ${model === undefined ? 'no' : others.length + 1} GGUF layers`, {
      why: 'weft takes models that ollama keeps as one GGUF file',
    })
  }
  const sha256 = model.digest.slice('sha256:'.length)
  const file = join(folder, 'blobs', `sha256-${sha256}`)
  if ((await stat(file).catch(() => null)) === null) {
    throw new SourceFileError(label, `its layer ${file} is not there: ollama pull ${typed(name)} fetches it`)
  }
  const unused = of('projector').length > 0 ? ['projector'] : []
  return { path: file, bytes: model.size, sha256, model: weftName(name), unused }
}

async function readLayers(path: string, label: string): Promise<z.output<typeof manifestSchema>['layers']> {
  const stats = await stat(path)
  if (!stats.isFile()) throw new SourceFileError(label, 'its manifest is no file')
  if (stats.size > MAX_MANIFEST_BYTES) throw new ModelFileError('manifest of ollama', `it has ${stats.size} bytes`)
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw new ModelFileError('manifest of ollama', 'it is not JSON')
    throw new SourceFileError(label, error instanceof Error ? error.message : String(error), error)
  }
  const parsed = manifestSchema.safeParse(value)
  if (parsed.success) return parsed.data.layers
  const issue = parsed.error.issues[0]!
  throw new ModelFileError('manifest of ollama', `${issue.path.join('.') || 'it'}: ${issue.message}`)
}

function weftName({ name, tag }: OllamaName): string {
  const both = (tag === DEFAULT_TAG ? name : `${name}:${tag}`).toLowerCase()
  return isModelName(both) ? both : modelNameOf(both)
}
