/** What can be wrong with the files of an adapter. */
import { EXIT, WeftError } from '../../errors.ts'
import type { ErrorInfo } from '../../errors.ts'

export class AdapterFileError extends WeftError {
  static readonly info: ErrorInfo = {
    code: 'WEFT-MOD-110',
    title: 'Adapter cannot be used',
    meaning:
      "The folder holds no adapter in PEFT's layout, the GGUF file none, or it is one of a kind that weft does not know or that does not fit the model.",
    remedy:
      'Give the folder that has adapter_config.json and adapter_model.safetensors, or a GGUF file of an adapter, and the model it was trained on.',
    exit: EXIT.integrity,
    http: 400,
  }
  constructor(folder: string, why: string, details: Readonly<Record<string, unknown>> = {}) {
    super(AdapterFileError.info, `the adapter ${JSON.stringify(folder.slice(0, 200))} cannot be used`, {
      why,
      details: { folder, ...details },
    })
  }
}

export const ADAPTER_ERRORS: readonly ErrorInfo[] = [AdapterFileError.info]
