/* The C interface of libvosk 0.3.45, written for the testbed from the functions that the library exports.
 * Declarations only; upstream's own header carries the documentation.
 */
#ifndef COLDVOX_TESTBED_VOSK_API_H
#define COLDVOX_TESTBED_VOSK_API_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct VoskModel VoskModel;
typedef struct VoskSpkModel VoskSpkModel;
typedef struct VoskRecognizer VoskRecognizer;
typedef struct VoskBatchModel VoskBatchModel;
typedef struct VoskBatchRecognizer VoskBatchRecognizer;

/* Acoustic and language model; NULL when it cannot be loaded. */
VoskModel *vosk_model_new(const char *model_path);
void vosk_model_free(VoskModel *model);
/* Number of the word, or -1 when the model does not know it. */
int vosk_model_find_word(VoskModel *model, const char *word);

/* Speaker model; NULL when it cannot be loaded. */
VoskSpkModel *vosk_spk_model_new(const char *model_path);
void vosk_spk_model_free(VoskSpkModel *model);

/* Recognizer; a grammar is a JSON list of phrases. */
VoskRecognizer *vosk_recognizer_new(VoskModel *model, float sample_rate);
VoskRecognizer *vosk_recognizer_new_spk(VoskModel *model, float sample_rate, VoskSpkModel *speaker_model);
VoskRecognizer *vosk_recognizer_new_grm(VoskModel *model, float sample_rate, const char *grammar);
void vosk_recognizer_free(VoskRecognizer *recognizer);
void vosk_recognizer_reset(VoskRecognizer *recognizer);

void vosk_recognizer_set_spk_model(VoskRecognizer *recognizer, VoskSpkModel *speaker_model);
void vosk_recognizer_set_grm(VoskRecognizer *recognizer, const char *grammar);
void vosk_recognizer_set_max_alternatives(VoskRecognizer *recognizer, int max_alternatives);
void vosk_recognizer_set_words(VoskRecognizer *recognizer, int words);
void vosk_recognizer_set_partial_words(VoskRecognizer *recognizer, int partial_words);
void vosk_recognizer_set_nlsml(VoskRecognizer *recognizer, int nlsml);

/* 1: an utterance ended, 0: go on, -1: failure. 16-bit little-endian bytes, shorts, or floats in the 16-bit range. */
int vosk_recognizer_accept_waveform(VoskRecognizer *recognizer, const char *data, int length);
int vosk_recognizer_accept_waveform_s(VoskRecognizer *recognizer, const short *data, int length);
int vosk_recognizer_accept_waveform_f(VoskRecognizer *recognizer, const float *data, int length);

/* JSON text that belongs to the recognizer. */
const char *vosk_recognizer_result(VoskRecognizer *recognizer);
const char *vosk_recognizer_partial_result(VoskRecognizer *recognizer);
const char *vosk_recognizer_final_result(VoskRecognizer *recognizer);

/* 0 is the default, below 0 is silent, above 0 is talkative. */
void vosk_set_log_level(int log_level);
void vosk_gpu_init(void);
void vosk_gpu_thread_init(void);

/* Decoding on a GPU in batches. */
VoskBatchModel *vosk_batch_model_new(const char *model_path);
void vosk_batch_model_free(VoskBatchModel *model);
void vosk_batch_model_wait(VoskBatchModel *model);
VoskBatchRecognizer *vosk_batch_recognizer_new(VoskBatchModel *model, float sample_rate);
void vosk_batch_recognizer_free(VoskBatchRecognizer *recognizer);
void vosk_batch_recognizer_accept_waveform(VoskBatchRecognizer *recognizer, const char *data, int length);
void vosk_batch_recognizer_set_nlsml(VoskBatchRecognizer *recognizer, int nlsml);
void vosk_batch_recognizer_finish_stream(VoskBatchRecognizer *recognizer);
const char *vosk_batch_recognizer_front_result(VoskBatchRecognizer *recognizer);
void vosk_batch_recognizer_pop(VoskBatchRecognizer *recognizer);
int vosk_batch_recognizer_get_pending_chunks(VoskBatchRecognizer *recognizer);

#ifdef __cplusplus
}
#endif

#endif
