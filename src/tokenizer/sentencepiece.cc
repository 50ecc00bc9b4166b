/* sentencepiece.cc -- the one door to the SentencePiece library. Statuses and exceptions of C++ end here. */
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sentencepiece_shim.h"

namespace sentencepiece
{
namespace logging
{
void SetMinLogLevel(int level); /* exported, but declared in no installed header */
}
} // namespace sentencepiece

struct mo__sp_processor {
    sentencepiece::SentencePieceProcessor processor;
};

namespace
{

/* Above every level that is logged; a CHECK that fails ends the process whatever the level. */
constexpr int kSilent = 9;

template <typename Body> mo_status guarded(const char *what, Body body)
{
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return mo_error(MO_E_MEMORY, "tokenizer: there is not enough memory to %s", what);
    } catch (const std::exception &e) {
        return mo_error(MO_E_CORRUPT, "tokenizer: could not %s: %s", what, e.what());
    } catch (...) {
        return mo_error(MO_E_INTERNAL, "tokenizer: could not %s", what);
    }
}

class Chunks : public sentencepiece::SentenceIterator
{
  public:
    Chunks(const char *bytes, const mo__sp_chunk *chunks, int64_t count)
        : bytes_(bytes), at_(chunks), end_(chunks + count)
    {
        Load();
    }
    bool done() const override { return at_ == end_; }
    void Next() override
    {
        ++at_;
        Load();
    }
    const std::string &value() const override { return value_; }
    sentencepiece::util::Status status() const override { return sentencepiece::util::Status(); }

  private:
    void Load()
    {
        if (at_ != end_) value_.assign(bytes_ + at_->at, at_->size);
    }
    const char *bytes_;
    const mo__sp_chunk *at_, *end_;
    std::string value_;
};

} // namespace

mo_status mo__sp_open(const char *model, size_t size, mo__sp_processor **out)
{
    *out = nullptr;
    return guarded("load the model", [&] {
        sentencepiece::logging::SetMinLogLevel(kSilent);
        std::unique_ptr<mo__sp_processor> p(new mo__sp_processor);
        const auto status = p->processor.LoadFromSerializedProto(std::string_view(model, size));
        if (!status.ok()) return mo_error(MO_E_CORRUPT, "SentencePiece refuses it: %s", status.message());
        *out = p.release();
        return MO_OK;
    });
}

void mo__sp_close(mo__sp_processor *p)
{
    delete p;
}

int32_t mo__sp_bos(const mo__sp_processor *p)
{
    return p->processor.bos_id();
}

int32_t mo__sp_eos(const mo__sp_processor *p)
{
    return p->processor.eos_id();
}

mo_status mo__sp_encode(const mo__sp_processor *p, const char *text, size_t size, int32_t **ids,
                        int64_t *count)
{
    return guarded("encode", [&] {
        std::vector<int> made;
        const auto status = p->processor.Encode(std::string_view(text, size), &made);
        if (!status.ok()) return mo_error(MO_E_INTERNAL, "tokenizer: SentencePiece: %s", status.message());
        *ids = static_cast<int32_t *>(mo_malloc(made.size() * sizeof(int32_t)));
        if (!*ids) return MO_E_MEMORY;
        for (size_t i = 0; i < made.size(); i++) (*ids)[i] = made[i];
        *count = static_cast<int64_t>(made.size());
        return MO_OK;
    });
}

/* As Mixtral's own was trained, but for the number of threads: it only normalizes in parallel, and the number
 * is written into the model. */
mo_status mo__sp_train(const char *bytes, const mo__sp_chunk *chunks, int64_t count, int vocab_size,
                       char **model, size_t *size)
{
    *model = nullptr;
    return guarded("train", [&] {
        sentencepiece::logging::SetMinLogLevel(kSilent);
        const std::unordered_map<std::string, std::string> settings = {
            {"model_type", "bpe"},
            {"vocab_size", std::to_string(vocab_size)},
            {"character_coverage", "0.99995"},
            {"normalization_rule_name", "identity"},
            {"add_dummy_prefix", "true"},
            {"remove_extra_whitespaces", "false"},
            {"allow_whitespace_only_pieces", "true"},
            {"split_digits", "true"},
            {"byte_fallback", "true"},
            {"max_sentence_length", "65536"},
            {"num_threads", "1"},
        };
        Chunks sentences(bytes, chunks, count);
        std::string made;
        const auto status = sentencepiece::SentencePieceTrainer::Train(settings, &sentences, &made);
        if (!status.ok()) return mo_error(MO_E_RANGE, "%s", status.message());
        *model = static_cast<char *>(mo_malloc(made.size()));
        if (!*model) return MO_E_MEMORY;
        std::memcpy(*model, made.data(), made.size());
        *size = made.size();
        return MO_OK;
    });
}
