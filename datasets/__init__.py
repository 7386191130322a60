"""Load domains from registered datasets, folders or arrays, and stream training batches."""

if __name__ == "datasets":  # Python was started in a checkout: Hugging Face's library is meant
    from dacbn.checkout import import_installed

    import_installed(__name__)
else:
    import lazy_loader

    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
