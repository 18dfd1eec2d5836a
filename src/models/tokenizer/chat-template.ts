/**
 * Chat templates: Jinja, in the sandbox of an interpreter that knows no JavaScript object, with bounds on its work. The
 * template comes with the model, so it may be anybody's: what it can do is to return text, within limits.
 */
import type { Clock } from '../../util/index.ts'
import { ChatTemplateError } from './errors.ts'
import {
  MAX_TEMPLATE_BLANKS,
  MAX_TEMPLATE_LENGTH,
  MAX_TEMPLATE_LIST,
  MAX_TEMPLATE_VALUE,
  TEMPLATE_BASE_WORK,
  TEMPLATE_WORK_PER_MESSAGE,
} from './limits.ts'
import { formatDate } from './format-date.ts'
import { Environment, parse, tokenize } from './jinja.ts'
import type { TemplateEnvironment } from './jinja.ts'
import { createBoundedInterpreter } from './template-bounds.ts'
import type { TemplateMessage, TemplateTool } from './chat-tools.ts'

/** Where a model has ChatML's tokens but no template. */
export const CHATML_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/** Where a model has neither a template nor ChatML's tokens. */
export const PLAIN_TEMPLATE =
  "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"

export interface TemplateVariables {
  readonly messages: readonly TemplateMessage[]
  readonly tools?: readonly TemplateTool[]
  readonly add_generation_prompt: boolean
  readonly bos_token: string
  readonly eos_token: string
  readonly unk_token: string
  readonly pad_token: string
}

export interface ChatTemplate {
  readonly source: string
  /** @throws ChatTemplateError */
  render(variables: TemplateVariables): string
}

/** Thrown by a template itself, through `raise_exception`. */
class Refusal extends Error {}

/** @throws ChatTemplateError */
export function compileChatTemplate(source: string, clock?: Pick<Clock, 'wall'>): ChatTemplate {
  if (source.length > MAX_TEMPLATE_LENGTH) {
    throw new ChatTemplateError(`it has ${source.length} characters, more than ${MAX_TEMPLATE_LENGTH}`)
  }
  if (source.match(/\s+/g)?.some((blanks) => blanks.length > MAX_TEMPLATE_BLANKS) === true) {
    throw new ChatTemplateError(`it has over ${MAX_TEMPLATE_BLANKS} characters of white space in a row`)
  }
  // As transformers sets its environment up; templates are written for it.
  const program = attempt('it is no Jinja', () => parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })))
  return {
    source,
    render(variables) {
      const told = source.length + (variables.tools === undefined ? 0 : JSON.stringify(variables.tools).length)
      const length = variables.messages.reduce((sum, message) => sum + messageLength(message), told)
      const interpreter = createBoundedInterpreter(createEnvironment(variables, clock), {
        work: TEMPLATE_BASE_WORK + TEMPLATE_WORK_PER_MESSAGE * variables.messages.length + length,
        value: MAX_TEMPLATE_VALUE + 2 * length,
      })
      return attempt('it cannot be rendered', () => String(interpreter.run(program).value))
    },
  }
}

function messageLength({ role, content, name, tool_calls: calls }: TemplateMessage): number {
  return role.length + content.length + (name ?? '').length + (calls === undefined ? 0 : JSON.stringify(calls).length)
}

/** Whatever the interpreter throws, a stack overflow of a deep template included, is the template's fault. */
function attempt<T>(what: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    if (cause instanceof ChatTemplateError) throw cause
    const message = cause instanceof Error ? cause.message.slice(0, 500) : String(cause)
    throw new ChatTemplateError(cause instanceof Refusal ? message : `${what}: ${message}`, { cause })
  }
}

function createEnvironment(variables: TemplateVariables, clock: Pick<Clock, 'wall'> | undefined): TemplateEnvironment {
  const environment = new Environment()
  const globals: Record<string, unknown> = {
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    range,
    raise_exception: (message: unknown) => {
      throw new Refusal(String(message))
    },
    ...variables,
  }
  if (clock !== undefined) globals['strftime_now'] = (format: unknown) => formatDate(clock.wall(), String(format))
  for (const [name, value] of Object.entries(globals)) environment.set(name, value)
  return environment
}

/** Python's range, of a length that can be held. */
function range(...args: unknown[]): number[] {
  const [first, second, step = 1] = args.map((value) => (Number.isSafeInteger(value) ? (value as number) : Number.NaN))
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  const length = Math.max(0, Math.ceil(((stop ?? Number.NaN) - (start ?? Number.NaN)) / step))
  if (!(length <= MAX_TEMPLATE_LIST))
    throw new ChatTemplateError(`range(${args.map(String).join(', ')}) is no list for it`)
  return Array.from({ length }, (_, i) => (start as number) + i * step)
}
