/** Prints an answer as it is made; on a terminal without the control characters that a model may produce. */
import type { CommandContext } from './context.ts'
import { printable } from './text.ts'

export interface TextPrinter {
  print(text: string): void
  /** The whole text: what was held back as a possible stop string is printed now, and the line is ended. */
  finish(whole: string): void
  /** Ends a line that was begun. */
  endLine(): void
}

export function textPrinter({ io, out }: Pick<CommandContext, 'io' | 'out'>): TextPrinter {
  const safe = (text: string): string => (io.stdout.isTTY === true ? printable(text, true) : text)
  let printed = ''
  let open = false
  const print = (text: string): void => {
    if (text === '') return
    printed += text
    open = !text.endsWith('\n')
    out.write(safe(text))
  }
  return {
    print,
    finish(whole) {
      if (whole.startsWith(printed)) print(whole.slice(printed.length))
      if (!printed.endsWith('\n')) out.line()
      open = false
    },
    endLine() {
      if (open) out.line()
      open = false
    },
  }
}
