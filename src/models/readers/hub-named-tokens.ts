/** Which tokens begin, end and pad texts: said in up to four files of a folder. */
import type { TokenizerDefinition } from '../tokenizer/definition.ts'
import type { HubTokens } from './hub-tokens.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import type { ModelFolder } from './model-folder.ts'

export type NamedTokens = Pick<TokenizerDefinition, 'bos' | 'eos' | 'unk' | 'pad' | 'ends'>

const MAX_BYTES = 1 << 20
const NOTHING = jsonObject({}, 'none')

/** @param own `tokenizer_config.json` @param config `config.json` */
export async function namedTokens(
  folder: ModelFolder,
  own: JsonObject,
  config: JsonObject,
  table: HubTokens,
): Promise<NamedTokens> {
  const map = (await folder.json('special_tokens_map.json', MAX_BYTES)) ?? NOTHING
  const generation = (await folder.json('generation_config.json', MAX_BYTES)) ?? NOTHING
  const byName = (key: string): number | null => table.idOf.get(nameIn(own, key) ?? nameIn(map, key) ?? '') ?? null
  const byId = (key: string): number[] =>
    [...idsIn(generation, key), ...idsIn(config, key)].filter((id) => isToken(table, id))
  const ends = byId('eos_token_id')
  const eos = byName('eos_token') ?? ends[0] ?? null
  const others = [...new Set(ends)].filter((id) => id !== eos)
  return {
    bos: byName('bos_token') ?? byId('bos_token_id')[0] ?? null,
    eos,
    unk: table.unk,
    pad: byName('pad_token') ?? byId('pad_token_id')[0] ?? null,
    ...(others.length === 0 ? {} : { ends: others }),
  }
}

/** A text, or an added token with its text. */
function nameIn(file: JsonObject, key: string): string | undefined {
  const value = file.raw(key)
  if (value === undefined || typeof value === 'string') return value
  return jsonObject(value, key).text('content')
}

/** A number, or a list of them. */
function idsIn(file: JsonObject, key: string): number[] {
  const value = file.raw(key)
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  return list.filter((id) => typeof id === 'number')
}

function isToken({ tokens }: HubTokens, id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < tokens.length && tokens[id] !== ''
}
