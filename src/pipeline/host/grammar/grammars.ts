/**
 * Holds answers to a form: which tokens may come next, by the engine of XGrammar (Dong et al., arXiv 2411.15100). It is
 * loaded when the first answer asks for it; a schema that was compiled once is found again.
 */
import type { CompiledGrammar, Grammar, GrammarCompiler } from '@mlc-ai/web-xgrammar'
import type { AnswerFormat } from '../../types.ts'
import { argumentSchemas, callsGrammar } from './calls.ts'
import { AnswerFormatError } from './errors.ts'
import { loadGrammarLibrary } from './library.ts'
import type { GrammarLibrary } from './library.ts'
import { GrammarMask } from './mask.ts'
import { checkedSchema } from './schema.ts'

/** Compiled grammars that are kept: some MB each for a large vocabulary. */
const KEPT = 16
/**
 * JSON on one line, as Python writes it: a small model that may put blanks anywhere puts many. Not strict: what a schema
 * does not mention is as free as JSON Schema says.
 */
const STYLE = [false, -1, [', ', ': '], false] as [boolean, number, [string, string], boolean]
/** The same for the arguments of a call, but strict: what its schema does not mention is no argument. */
const ARGUMENTS_STYLE = [...STYLE.slice(0, 3), true] as typeof STYLE
/** In the byte alphabet: control characters but the line break. No JSON has them, and the engine's shorter strings would. */
const CONTROL = /[\u0100-\u0109\u010b-\u011f]/
const ANY_OBJECT = '{"type":"object"}'

export interface GrammarVocabulary {
  /** Length of the logits: the tokenizer's tokens, and perhaps padding after them. */
  readonly logits: number
  /** Each token in GPT-2's byte alphabet; '' for control tokens. */
  readonly tokens: readonly string[]
  readonly endTokens: readonly number[]
}

interface Engine {
  readonly library: GrammarLibrary
  readonly compiler: GrammarCompiler
  readonly compiled: Map<string, Entry>
}

interface Entry {
  readonly grammar: Promise<CompiledGrammar>
  /** Matchers that are being made of it. */
  users: number
  /** It has made room for another. */
  isEvicted: boolean
}

export class Grammars {
  readonly #vocabulary: () => Promise<GrammarVocabulary>
  #engine: Promise<Engine> | undefined
  /** Only reads what is asked: the engine that computes must not end with a schema that the library gives up on. */
  #trial: GrammarLibrary | undefined
  #tried: Promise<void> = Promise.resolve()

  constructor(vocabulary: () => Promise<GrammarVocabulary>) {
    this.#vocabulary = vocabulary
  }

  /** @param generated tokens that were chosen for the same text before */
  mask(format: AnswerFormat, generated: readonly number[]): GrammarMask {
    return new GrammarMask(this.#matcher(format), generated)
  }

  async #matcher(format: AnswerFormat): ReturnType<GrammarLibrary['GrammarMatcher']['createGrammarMatcher']> {
    const { library, compiler, compiled } = await this.#loaded()
    const key = JSON.stringify(format)
    const entry = compiled.get(key) ?? { grammar: this.#compile(compiler, format), users: 0, isEvicted: false }
    entry.users++
    compiled.delete(key)
    compiled.set(key, entry)
    for (const [oldest, other] of compiled) {
      if (compiled.size <= KEPT) break
      compiled.delete(oldest)
      other.isEvicted = true
      disposeUnused(other)
    }
    try {
      return await library.GrammarMatcher.createGrammarMatcher(await entry.grammar)
    } catch (error) {
      if (compiled.get(key) === entry) compiled.delete(key)
      throw error
    } finally {
      entry.users--
      disposeUnused(entry)
    }
  }

  async #compile(compiler: GrammarCompiler, format: AnswerFormat): Promise<CompiledGrammar> {
    if (format.kind === 'calls') {
      const { text } = format
      const written = new Map<string, string>()
      await this.#try(async ({ Grammar }) => {
        for (const schema of new Set(argumentSchemas(text))) written.set(schema, await compact(Grammar, schema))
        return Grammar.fromStructuralTag(callsGrammar(text, written))
      })
      return compiler.compileStructuralTag(callsGrammar(text, written))
    }
    const schema = format.kind === 'json' ? ANY_OBJECT : checkedSchema(parsed(format.text))
    await this.#try(({ Grammar }) => Grammar.fromJSONSchema(schema, ...STYLE))
    return compiler.compileJSONSchema(schema, ...STYLE)
  }

  /** One after the other: a schema that ends the engine ends it for what is read beside it, too. @throws AnswerFormatError */
  #try(read: (library: GrammarLibrary) => Promise<Grammar>): Promise<void> {
    const tried = this.#tried.then(() => this.#readable(read))
    this.#tried = tried.catch(() => undefined)
    return tried
  }

  async #readable(read: (library: GrammarLibrary) => Promise<Grammar>): Promise<void> {
    this.#trial ??= loadGrammarLibrary()
    try {
      const grammar = await read(this.#trial)
      grammar.dispose()
    } catch {
      this.#trial = undefined
      throw new AnswerFormatError('', 'the schema makes no grammar: a pattern or a value in it is malformed')
    }
  }

  #loaded(): Promise<Engine> {
    this.#engine ??= this.#load()
    return this.#engine
  }

  async #load(): Promise<Engine> {
    const { logits, tokens, endTokens } = await this.#vocabulary()
    const library = loadGrammarLibrary()
    const spoken = tokens.map((token) => (CONTROL.test(token) ? '' : token))
    const info = await library.TokenizerInfo.createTokenizerInfo(spoken, 'byte_level', false, logits, [...endTokens])
    return { library, compiler: await library.GrammarCompiler.createGrammarCompiler(info), compiled: new Map() }
  }
}

/** The grammar of a schema, with blanks where Python writes them. */
async function compact(library: GrammarLibrary['Grammar'], schema: string): Promise<string> {
  const grammar = await library.fromJSONSchema(schema, ...ARGUMENTS_STYLE)
  try {
    return grammar.toString()
  } finally {
    grammar.dispose()
  }
}

/** Matchers that were made of it keep what they need. */
function disposeUnused({ grammar, users, isEvicted }: Entry): void {
  if (isEvicted && users === 0)
    grammar.then(
      (one) => one.dispose(),
      () => undefined,
    )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new AnswerFormatError('', 'the schema is no JSON')
  }
}
