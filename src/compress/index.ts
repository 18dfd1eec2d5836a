/** Quantization choices: which weight format each layer of a model gets, by what it costs. */
export { CALIBRATION_NAME } from './calibration-text.ts'
export { COMPRESS_ERRORS, CalibrationTextError } from './errors.ts'
export { checkCalibrationText, createWeightChooser } from './weight-chooser.ts'
export type { WeightChooserNeeds } from './weight-chooser.ts'
export { qualityReport } from './report.ts'
export type { FormatReport, QualityReport } from './report.ts'
