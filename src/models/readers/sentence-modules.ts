/** What a folder of sentence-transformers says comes after the graph: which pooling, and whether lengths are made 1. */
import { UnsupportedModelError } from '../errors.ts'
import type { EncoderText } from '../graph/text.ts'
import { jsonObject, parseJson } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import type { ModelFolder } from './model-folder.ts'
import { MODULES_FILE } from './onnx-folder.ts'

export interface SentencePooling {
  readonly pooling: Exclude<EncoderText['pooling'], 'none'> | null
  readonly normalize: boolean
  /** A module that is neither the graph nor one of these two. */
  readonly more?: string
}

const MAX_BYTES = 1 << 18
const MAX_MODULES = 16
const FLAGS = [
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_lasttoken', 'last'],
] as const
const WORDS: ReadonlyMap<string, (typeof FLAGS)[number][1]> = new Map([
  ['cls', 'cls'],
  ['mean', 'mean'],
  ['lasttoken', 'last'],
])

/** Null where the folder says nothing. @throws ModelFileError, UnsupportedModelError for a pooling of another kind */
export async function sentencePooling(folder: ModelFolder): Promise<SentencePooling | null> {
  const bytes = await folder.read(MODULES_FILE, MAX_BYTES)
  if (bytes === null) return poolingOf(folder, '1_Pooling').then((pooling) => pooling && { pooling, normalize: true })
  const list = parseJson(bytes, MODULES_FILE)
  const modules: readonly unknown[] = Array.isArray(list) ? list.slice(0, MAX_MODULES) : []
  let made: SentencePooling = { pooling: null, normalize: false }
  for (const entry of modules) {
    const one = jsonObject(entry, MODULES_FILE)
    const type = one.text('type') ?? ''
    // `sentence_transformers.models.Pooling`, or where newer versions have it.
    const name = type.slice(type.lastIndexOf('.') + 1)
    if (name === 'Transformer') continue
    if (name === 'Pooling') made = { ...made, pooling: await poolingOf(folder, one.text('path') ?? '1_Pooling') }
    else if (name === 'Normalize') made = { ...made, normalize: true }
    else made = { ...made, more: type }
  }
  return made
}

async function poolingOf(folder: ModelFolder, name: string): Promise<SentencePooling['pooling']> {
  const config = (await (await folder.inner(name))?.json('config.json', MAX_BYTES)) ?? null
  return config === null ? null : poolingMode(config)
}

function poolingMode(config: JsonObject): SentencePooling['pooling'] {
  const word = config.raw('pooling_mode')
  const set = [...config.keys()].filter((key) => key.startsWith('pooling_mode_') && config.raw(key) === true)
  const known =
    typeof word === 'string'
      ? WORDS.get(word)
      : set.length === 1
        ? FLAGS.find(([key]) => key === set[0])?.[1]
        : undefined
  if (known !== undefined) return known
  const shown = JSON.stringify(typeof word === 'string' ? word.slice(0, 40) : set.map((key) => key.slice(0, 60)))
  throw new UnsupportedModelError(`the pooling ${shown} is not supported`, {
    why: 'weft has the mean, the first and the last token',
  })
}
