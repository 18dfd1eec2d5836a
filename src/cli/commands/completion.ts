/** weft completion bash|zsh|fish */
import type { Command } from '../context.ts'
import { completionScript } from '../completion-scripts.ts'
import type { Shell } from '../completion-scripts.ts'

export const command: Command = ({ flags, out }) => {
  const shell = flags.required(0) as Shell
  const script = completionScript(shell)
  if (out.structured) out.document({ schema: 'weft.completion-script/1', shell, script })
  else out.write(script)
  return Promise.resolve()
}
