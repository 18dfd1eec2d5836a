/** `tokenizer`: text to ids, ids to text, conversations to prompts, by a model of this home or a definition. */
import * as z from 'zod'
import {
  createTokenizer,
  TOKENIZER_SCHEMA,
  TokenizerDefinitionError,
  UnknownPreTokenizerError,
} from '../../../models/index.ts'
import type { Tokenizer, TokenizerDefinition } from '../../../models/index.ts'
import { readTokenizer } from '../../../peer/index.ts'
import { flagOf, hexOf, Refusal, textOf, wholesOf } from './suite.ts'
import type { Suite, VectorCase } from './suite.ts'

interface Known {
  readonly definition: TokenizerDefinition
  readonly tokenizer: Tokenizer
}

const id = z.number().int().nullish().default(null)

/** GGUF's own fields; those that a file may leave out are as the importer has them. */
const definitionSchema = z.object({
  schema: z.literal(TOKENIZER_SCHEMA).default(TOKENIZER_SCHEMA),
  kind: z.enum(['bpe', 'spm']),
  pre: z.string().default('default'),
  tokens: z.array(z.string()),
  types: z.array(z.number()),
  scores: z.array(z.number()).optional(),
  merges: z.array(z.string()).optional(),
  bos: id,
  eos: id,
  unk: id,
  pad: id,
  eot: id,
  add_bos: z.boolean().default(false),
  add_eos: z.boolean().default(false),
  add_space_prefix: z.boolean().default(false),
  chat_template: z.string().nullish().default(null),
})

const messagesSchema = z.array(z.object({ role: z.string(), content: z.string(), name: z.string().optional() }))

export const tokenizerSuite: Suite = ({ home }) => {
  const models = new Map<string, Promise<Known>>()
  const named = (model: string): Promise<Known> => {
    const known = models.get(model) ?? openModel(home, model)
    models.set(model, known)
    return known
  }
  return async (input) => {
    const given = ['text', 'ids', 'messages'].filter((field) => input[field] !== undefined)
    if (given.length !== 1) throw new Refusal('malformed', 'one of "text", "ids" and "messages" is needed')
    if ((input['model'] === undefined) === (input['definition'] === undefined)) {
      throw new Refusal('malformed', 'one of "model" and "definition" is needed')
    }
    const known =
      input['model'] === undefined ? openDefinition(input['definition']) : await named(textOf(input, 'model'))
    return tokensOf(known, input)
  }
}

async function openModel(home: string, model: string): Promise<Known> {
  const definition = await readTokenizer(home, model)
  if (definition === null) throw new Refusal('unknown-model', `${model} is not in the mesh home ${home}`)
  return { definition, tokenizer: createTokenizer(definition) }
}

function openDefinition(value: unknown): Known {
  const parsed = definitionSchema.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    throw new Refusal('definition', `${issue.path.join('.') || 'definition'}: ${issue.message}`)
  }
  const { scores, merges, ...rest } = parsed.data
  const lists = { ...(scores === undefined ? {} : { scores }), ...(merges === undefined ? {} : { merges }) }
  const definition = { ...rest, ...lists }
  try {
    return { definition, tokenizer: createTokenizer(definition) }
  } catch (error) {
    const known = error instanceof TokenizerDefinitionError || error instanceof UnknownPreTokenizerError
    throw known ? new Refusal('definition', error.message) : error
  }
}

function tokensOf({ definition, tokenizer }: Known, input: VectorCase): VectorCase {
  const special = flagOf(input, 'special') ?? false
  const [ids, rendered] = idsOf(tokenizer, input, special)
  return {
    ids,
    // As the vocabulary spells them; the bytes are what they stand for.
    pieces: ids.map((token) => definition.tokens[token]),
    bytes: ids.map((token) => hexOf(tokenizer.bytes(token, { special: true }))),
    text: tokenizer.decode(ids, { special }),
    ...(rendered === undefined ? {} : { rendered }),
  }
}

function idsOf(tokenizer: Tokenizer, input: VectorCase, special: boolean): [ids: number[], rendered?: string] {
  if (input['ids'] !== undefined) return [wholesOf(input, 'ids', 0, tokenizer.vocabulary - 1)]
  if (input['messages'] !== undefined) {
    const messages = messagesSchema.safeParse(input['messages'])
    if (!messages.success) throw new Refusal('malformed', '"messages" are not objects of "role" and "content"')
    const own = messages.data.map(({ role, content, name }) => ({
      role,
      content,
      ...(name === undefined ? {} : { name }),
    }))
    const { ids, text } = tokenizer.encodeChat(own, { special })
    return [ids, text]
  }
  const [addBos, addEos] = [flagOf(input, 'add_bos'), flagOf(input, 'add_eos')]
  const options = { special, ...(addBos === undefined ? {} : { addBos }), ...(addEos === undefined ? {} : { addEos }) }
  return [tokenizer.encode(textOf(input, 'text'), options)]
}
