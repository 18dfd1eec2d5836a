/** What the rest of weft sees of a tokenizer. */
import type { Clock } from '../../util/index.ts'
import type { InPieces } from './pieces.ts'

export interface ChatMessage {
  readonly role: string
  readonly content: string
  readonly name?: string
  /** Of an assistant's message: what it called. */
  readonly toolCalls?: readonly ToolCall[]
  /** Of a tool's message: the call that it answers. */
  readonly toolCallId?: string
}

export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly arguments: unknown
}

/** A function that the model may ask for. */
export interface Tool {
  readonly name: string
  readonly description?: string
  /** JSON Schema of an object. */
  readonly parameters: unknown
}

export interface EncodeOptions {
  /** The text of control tokens becomes those tokens; otherwise it stays text. @default false */
  readonly special?: boolean
  /** Puts the token that begins a text in front. @default as the model has it (`add_bos`) */
  readonly addBos?: boolean
  /** Appends the token that ends a text. @default as the model has it (`add_eos`) */
  readonly addEos?: boolean
  /**
   * Of a text with more ids than this only its first are made, more than `most`: what is refused for its length need not
   * be read to its end. @default no bound
   */
  readonly most?: number
}

export interface DecodeOptions {
  /** Control tokens appear as their text; otherwise they have none. @default false */
  readonly special?: boolean
}

export interface EncodeChatOptions {
  /** Ends with the opening of the assistant's turn. @default true */
  readonly addGenerationPrompt?: boolean
  /** Control tokens that are typed inside messages count as such (`--special`): trusted input only. @default false */
  readonly special?: boolean
  /** @default none */
  readonly tools?: readonly Tool[]
  /** As of a text. @default no bound */
  readonly most?: number
}

export interface EncodedChat {
  readonly ids: number[]
  /** The conversation as the template renders it, before the token that begins a text. */
  readonly text: string
}

/** Turns ids into text as they come. */
export interface TextStream {
  /** The text that this id completes; bytes of a character still incomplete are held back. @throws UnknownTokenError */
  push(id: number): string
  /** What was held back, as U+FFFD; the stream can then begin anew. */
  end(): string
}

export interface Tokenizer {
  /** Number of tokens; ids are 0 to `vocabulary - 1`. */
  readonly vocabulary: number
  readonly bos: number | null
  /** Tokens after which an answer is complete: `eos`, `eot`, and control tokens that end a turn, such as `<|im_end|>`. */
  readonly endTokens: ReadonlySet<number>
  /** Ids of a text; unpaired surrogates count as U+FFFD. The same text always has the same ids. */
  encode(text: string, options?: EncodeOptions): number[]
  /** The same in steps of some milliseconds, for who serves others between them; a short text takes one. */
  encodePieces(text: string, options?: EncodeOptions): InPieces<number[]>
  /**
   * Text of ids; bytes that are not UTF-8 become U+FFFD. A space that `add_space_prefix` has put after `bos` at the
   * start is taken away again. @throws UnknownTokenError
   */
  decode(ids: readonly number[], options?: DecodeOptions): string
  /** Raw bytes of one token, none for control tokens unless `special`. @throws UnknownTokenError */
  bytes(id: number, options?: DecodeOptions): Uint8Array
  /** What is pushed and what `end` returns are, joined, what `decode` returns for the same ids. */
  stream(options?: DecodeOptions): TextStream
  /**
   * A conversation as a prompt. Only what the template itself writes can become control tokens: what stands in a message
   * is text, unless `special`. Without a template: ChatML where the model has its tokens, else `role: content` lines.
   * `bos` is put in front where the model wants it and the template has not written it.
   * @throws ChatTemplateError, ChatMessageError
   */
  encodeChat(messages: readonly ChatMessage[], options?: EncodeChatOptions): EncodedChat
  /** The same in steps, as `encodePieces`; the template is rendered in the first. @throws ChatTemplateError, ChatMessageError */
  encodeChatPieces(messages: readonly ChatMessage[], options?: EncodeChatOptions): InPieces<EncodedChat>
}

export interface TokenizerNeeds {
  /**
   * Today for templates that print the date (in UTC). Without it `strftime_now` is undefined, so that a conversation
   * always gives the same prompt; templates then take the date that is written in them.
   */
  readonly clock?: Pick<Clock, 'wall'>
}
