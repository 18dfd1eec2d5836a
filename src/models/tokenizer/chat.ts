/**
 * Conversations as prompts, such that what people typed stays text.
 *
 * A template mixes its own words with those of the messages, and only its own may become control tokens, even where the
 * two touch (`<|im_` at the end of one message and `end|>` at the start of the next). So the template is rendered twice:
 * with the messages as they are, which is the prompt, and with every character of theirs that occurs in a control token
 * replaced by a private-use twin. Where both renderings agree but for the twins, they say of each character whose it is;
 * a control token counts where no character of it is a message's. Everything else is encoded as one text, so that ids
 * equal those of the whole prompt encoded at once wherever no message has a hand in a control token.
 *
 * A template may change a message (`content | upper`) or look into it (`'</think>' in content`), and then render twins
 * another way. Then fewer characters are replaced: all but letters and digits, or only what is, or at the ends of a
 * message may become, a control token; and where that too changes what is rendered, only what is one, provided that
 * this gives no other control tokens.
 */
import type { Clock } from '../../util/index.ts'
import { CHATML_TEMPLATE, compileChatTemplate, PLAIN_TEMPLATE } from './chat-template.ts'
import type { ChatTemplate, TemplateVariables } from './chat-template.ts'
import { checkedCalls, hideTexts, prepareChat } from './chat-tools.ts'
import type { PreparedChat, TemplateMessage } from './chat-tools.ts'
import { ChatMessageError } from './errors.ts'
import type { InPieces } from './pieces.ts'
import type { SpecialFinder, SpecialSpan } from './special-tokens.ts'
import { createTwins } from './twins.ts'
import type { ChatMessage, EncodedChat, EncodeOptions, Tokenizer } from './types.ts'
import type { Vocabulary } from './vocabulary.ts'

/** Roles that a template may build its tokens from (`'<|' + role + '|>'`), beside those that it names itself. */
const KNOWN_ROLES: ReadonlySet<string> = new Set(['system', 'developer', 'user', 'assistant', 'tool', 'function'])

export interface ChatEncoderParts {
  readonly vocabulary: Vocabulary
  readonly finder: SpecialFinder
  readonly encodeSpans: (text: string, spans: readonly SpecialSpan[], options: EncodeOptions) => InPieces<number[]>
  readonly clock?: Pick<Clock, 'wall'>
}

export function createChatEncoder(parts: ChatEncoderParts): Tokenizer['encodeChatPieces'] {
  const { vocabulary, finder, encodeSpans, clock } = parts
  const { bos } = vocabulary.definition
  const controls = vocabulary.special.filter((token) => !token.userDefined).map((token) => token.text)
  let template: ChatTemplate | undefined

  const protect = (text: string, chat: PreparedChat, render: Render, source: string): EncodedSpans => {
    const used = [text, source, JSON.stringify(chat.tools), ...chat.messages.flatMap(textsOf)]
    const twins = createTwins(controls, used)
    const renderHidden = (hide: Hide): EncodedSpans => {
      const marked = render(twinChat(chat, hide, source))
      return ownSpans(finder, twins.reveal(marked), marked)
    }
    for (const hide of [twins.hideAll, twins.hideSigns]) {
      const encoded = attempt(() => renderHidden(hide))
      if (encoded?.text === text) return encoded
    }
    const guarded = renderHidden(twins.hideEdges)
    if (guarded.text === text) return guarded
    const freer = renderHidden(twins.hideControls)
    return sameTokens(freer.spans, guarded.spans) ? freer : guarded
  }

  return function* (messages, options = {}): InPieces<EncodedChat> {
    const checked = messages.map(checkMessage)
    const compiled = (template ??= compileChatTemplate(templateSource(vocabulary), clock))
    const variables = templateVariables(vocabulary, options.addGenerationPrompt ?? true)
    const render: Render = ({ messages: given, tools }) =>
      compiled.render({ ...variables, messages: given, ...(tools.length === 0 ? {} : { tools }) }).toWellFormed()
    const chat = prepareChat(compiled.source, checked, options.tools ?? [])
    const text = render(chat)
    const encoded =
      options.special === true || controls.length === 0
        ? { text, spans: finder.find(text, () => true) }
        : protect(text, chat, render, compiled.source)
    const first = encoded.spans[0]
    const hasBos = first !== undefined && first.start === 0 && first.id === bos
    const { most = Infinity } = options
    const given: EncodeOptions = { addEos: false, most, ...(hasBos ? { addBos: false } : {}) }
    const ids = yield* encodeSpans(encoded.text, encoded.spans, given)
    return { ids, text: encoded.text }
  }
}

type Render = (chat: PreparedChat) => string
type Hide = (text: string) => string

interface EncodedSpans {
  readonly text: string
  readonly spans: SpecialSpan[]
}

/** Special tokens of `text` that have no twin in `marked`, which is the same text but for twins. */
function ownSpans(finder: SpecialFinder, text: string, marked: string): EncodedSpans {
  const spans = finder.find(text, (start, end) => text.slice(start, end) === marked.slice(start, end))
  return { text, spans }
}

function sameTokens(a: readonly SpecialSpan[], b: readonly SpecialSpan[]): boolean {
  return a.length === b.length && a.every((span, i) => span.id === b[i]?.id)
}

/** A template may refuse twins where it takes the text itself, or need more room for them. */
function attempt<T>(action: () => T): T | undefined {
  try {
    return action()
  } catch {
    return undefined
  }
}

function twinChat({ messages, tools }: PreparedChat, hide: Hide, templateSource: string): PreparedChat {
  return {
    messages: messages.map(({ role, content, name, ...calls }) => ({
      role: isTemplateRole(role, templateSource) ? role : hide(role),
      content: hide(content),
      ...(name === undefined ? {} : { name: hide(name) }),
      ...hideTexts(calls, hide),
    })),
    tools: hideTexts(tools, hide),
  }
}

/** All that a message could bring a private-use character by. */
function textsOf({ role, content, name, tool_calls: calls, tool_call_id: id }: TemplateMessage): string[] {
  return [role, content, name ?? '', id ?? '', calls === undefined ? '' : JSON.stringify(calls)]
}

function isTemplateRole(role: string, templateSource: string): boolean {
  return KNOWN_ROLES.has(role) || templateSource.includes(`'${role}'`) || templateSource.includes(`"${role}"`)
}

function checkMessage(message: ChatMessage, index: number): ChatMessage {
  const { role, content, name } = message as Readonly<Record<keyof ChatMessage, unknown>>
  if (typeof role !== 'string' || role === '') throw new ChatMessageError(index, 'its role is no text')
  if (typeof content !== 'string') throw new ChatMessageError(index, 'its content is no text')
  if (name !== undefined && typeof name !== 'string') throw new ChatMessageError(index, 'its name is no text')
  return {
    role: role.toWellFormed(),
    content: content.toWellFormed(),
    ...(name === undefined ? {} : { name: name.toWellFormed() }),
    ...checkedCalls(message, index),
  }
}

function templateSource({ definition, special }: Vocabulary): string {
  if (definition.chat_template !== null) return definition.chat_template
  const texts = new Set(special.map((token) => token.text))
  return texts.has('<|im_start|>') && texts.has('<|im_end|>') ? CHATML_TEMPLATE : PLAIN_TEMPLATE
}

function templateVariables({ definition }: Vocabulary, prompt: boolean): Omit<TemplateVariables, 'messages' | 'tools'> {
  const text = (id: number | null): string => (id === null ? '' : (definition.tokens[id] ?? ''))
  return {
    add_generation_prompt: prompt,
    bos_token: text(definition.bos),
    eos_token: text(definition.eos),
    unk_token: text(definition.unk),
    pad_token: text(definition.pad),
  }
}
