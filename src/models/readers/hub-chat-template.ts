/** The chat template of a folder: a file of its own, or a field of `tokenizer_config.json`. */
import { TokenizerDataError } from '../errors.ts'
import { jsonObject } from './json-document.ts'
import type { JsonObject } from './json-document.ts'
import type { ModelFolder } from './model-folder.ts'

/** Templates have up to 30 KB. */
const MAX_TEMPLATE_BYTES = 1 << 18

/** @param own `tokenizer_config.json`. @throws TokenizerDataError, ModelFileError */
export async function chatTemplate(folder: ModelFolder, own: JsonObject): Promise<string | null> {
  const file = await folder.read('chat_template.jinja', MAX_TEMPLATE_BYTES)
  if (file !== null) return utf8(file)
  const field = own.raw('chat_template')
  if (field === undefined || typeof field === 'string') return field ?? null
  // Several by name: the one that is called default.
  const named = (own.list('chat_template') ?? []).map((entry) => jsonObject(entry, 'chat_template'))
  return named.find((entry) => entry.text('name') === 'default')?.text('template') ?? null
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new TokenizerDataError('chat_template.jinja is not UTF-8')
  }
}
